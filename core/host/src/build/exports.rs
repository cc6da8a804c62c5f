//! Drops what the tools of interpreted languages leave among a component's exports.
//!
//! They run the interpreter once while they build and store the memory that it has then. The function through which they
//! do so stays exported, though nobody may call it any more, and the host takes no component with an export that the
//! contract does not know. An export also takes a number of its own, which what follows it counts on: so the component
//! is written anew with every later number one lower. The modules inside are copied as they are.

use std::convert::Infallible;

use wasm_encoder::reencode::{Error, Reencode, ReencodeComponent, component_utils};
use wasm_encoder::{Component, ComponentExportSection, ComponentSectionId, RawSection};
use wasmparser::{
    CanonicalFunction, ComponentAlias, ComponentExport, ComponentExternalKind, ComponentTypeRef, Parser,
    Payload,
};

/// `component` without the exports that `keep` does not name.
pub fn keep(component: &[u8], keep: &dyn Fn(&str) -> bool) -> Result<Vec<u8>, String> {
    let mut kept = Component::new();
    let mut rest = Rest { keep, functions: Numbers::default(), instances: Numbers::default() };
    rest.parse_component(&mut kept, Parser::new(0), component).map_err(|why| why.to_string())?;
    Ok(kept.finish())
}

/// What is left of a component.
struct Rest<'a> {
    keep: &'a dyn Fn(&str) -> bool,
    functions: Numbers,
    instances: Numbers,
}

/// The numbers of one kind of item: how many there are so far, and which of them are gone.
#[derive(Default)]
struct Numbers {
    count: u32,
    gone: Vec<u32>,
}

impl Numbers {
    fn drop_next(&mut self) {
        self.gone.push(self.count);
        self.count += 1;
    }

    fn now(&self, number: u32) -> u32 {
        number - self.gone.iter().filter(|gone| **gone < number).count() as u32
    }
}

impl Rest<'_> {
    fn count(&mut self, kind: ComponentExternalKind) {
        match kind {
            ComponentExternalKind::Func => self.functions.count += 1,
            ComponentExternalKind::Instance => self.instances.count += 1,
            _ => {}
        }
    }

    /// Counts the functions and instances that a section adds, exports apart.
    fn look(&mut self, payload: &Payload<'_>) -> Result<(), wasmparser::BinaryReaderError> {
        match payload {
            Payload::ComponentImportSection(section) => {
                for import in section.clone() {
                    match import?.ty {
                        ComponentTypeRef::Func(_) => self.functions.count += 1,
                        ComponentTypeRef::Instance(_) => self.instances.count += 1,
                        _ => {}
                    }
                }
            }
            Payload::ComponentCanonicalSection(section) => {
                for function in section.clone() {
                    if matches!(function?, CanonicalFunction::Lift { .. }) {
                        self.functions.count += 1;
                    }
                }
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section.clone() {
                    if let ComponentAlias::InstanceExport { kind, .. } = alias? {
                        self.count(kind);
                    }
                }
            }
            Payload::ComponentInstanceSection(section) => self.instances.count += section.count(),
            _ => {}
        }
        Ok(())
    }
}

impl Reencode for Rest<'_> {
    type Error = Infallible;
}

impl ReencodeComponent for Rest<'_> {
    fn component_func_index(&mut self, number: u32) -> u32 {
        self.functions.now(number)
    }

    fn component_instance_index(&mut self, number: u32) -> u32 {
        self.instances.now(number)
    }

    fn parse_component_payload(
        &mut self,
        component: &mut Component,
        payload: Payload<'_>,
        whole: &[u8],
    ) -> Result<(), Error<Self::Error>> {
        self.look(&payload)?;
        component_utils::parse_component_payload(self, component, payload, whole)
    }

    fn parse_component_export(
        &mut self,
        exports: &mut ComponentExportSection,
        export: ComponentExport<'_>,
    ) -> Result<(), Error<Self::Error>> {
        let gone = !(self.keep)(export.name.name);
        match export.kind {
            ComponentExternalKind::Func if gone => self.functions.drop_next(),
            ComponentExternalKind::Instance if gone => self.instances.drop_next(),
            // Other kinds cannot be counted away; the check that follows names them.
            kind => {
                component_utils::parse_component_export(self, exports, export)?;
                self.count(kind);
            }
        }
        Ok(())
    }

    /// Names of numbers that may have changed; nobody needs them.
    fn parse_component_custom_section(
        &mut self,
        component: &mut Component,
        section: wasmparser::CustomSectionReader<'_>,
    ) -> Result<(), Error<Self::Error>> {
        if section.name() == "component-name" {
            return Ok(());
        }
        component_utils::parse_component_custom_section(self, component, section)
    }

    fn parse_component_submodule(
        &mut self,
        component: &mut Component,
        _: Parser,
        module: &[u8],
    ) -> Result<(), Error<Self::Error>> {
        component.section(&RawSection { id: ComponentSectionId::CoreModule.into(), data: module });
        Ok(())
    }

    /// A component inside refers to nothing that is numbered here, types apart.
    fn parse_component_subcomponent(
        &mut self,
        component: &mut Component,
        _: Parser,
        inner: &[u8],
        _: &[u8],
    ) -> Result<(), Error<Self::Error>> {
        component.section(&RawSection { id: ComponentSectionId::Component.into(), data: inner });
        Ok(())
    }
}
