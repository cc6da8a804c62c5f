//! Whether one contract can take another one's place under plugins that were built before.
//!
//! What a plugin imports, the host offers: it may offer more functions and more interfaces, and nothing less. What a plugin
//! exports, the host asks for: an old plugin has exactly what was asked for then, so neither more nor less may be asked.
//! Types that cross are equal in all their parts: a record with one more field is another record.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, anyhow};
use wit_parser::{
    FunctionKind, Handle, InterfaceId, Resolve, Type, TypeDefKind, TypeId, UnresolvedPackageGroup, WorldItem,
};

/// Exported by plugins although no world says so: a plugin has it when it wants it.
const OPTIONAL_EXPORT: &str = "regard:core/migration";

/// A contract, as far as a built plugin notices it. Names have no versions.
#[derive(Debug, Default)]
pub struct Contract {
    interfaces: BTreeMap<String, Interface>,
    worlds: BTreeMap<String, World>,
}

#[derive(Debug, Default)]
struct Interface {
    types: BTreeMap<String, String>,
    functions: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
struct World {
    imports: BTreeSet<String>,
    exports: BTreeSet<String>,
}

/// The packages in `folder`: `core`, and those that use it.
pub fn resolve(folder: &Path) -> anyhow::Result<Resolve> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        names.push(entry?.file_name());
    }
    // The others use it, so it comes first.
    names.sort_by_key(|name| (name != "core", name.clone()));
    let mut resolve = Resolve::default();
    for name in names {
        let group = UnresolvedPackageGroup::parse_dir(folder.join(&name))?;
        resolve.push_group(group).map_err(|why| anyhow!("{}: {why:?}", name.display()))?;
    }
    Ok(resolve)
}

/// The contract in `folder`.
pub fn read(folder: &Path) -> anyhow::Result<Contract> {
    let resolve = resolve(folder)?;
    let mut contract = Contract::default();
    for (id, interface) in resolve.interfaces.iter() {
        let types = interface.types.iter().map(|(name, id)| (name.clone(), structure(&resolve, *id)));
        let functions = interface.functions.iter().map(|(name, function)| {
            let waits = matches!(
                function.kind,
                FunctionKind::AsyncFreestanding | FunctionKind::AsyncMethod(_) | FunctionKind::AsyncStatic(_)
            );
            let parameters: Vec<_> = function
                .params
                .iter()
                .map(|given| format!("{}: {}", given.name, told(&resolve, &given.ty)))
                .collect();
            let result = function.result.as_ref().map_or(String::new(), |result| told(&resolve, result));
            (name.clone(), format!("async {waits} ({}) -> {result}", parameters.join(", ")))
        });
        let read = Interface { types: types.collect(), functions: functions.collect() };
        contract.interfaces.insert(interface_name(&resolve, id)?, read);
    }
    for (_, world) in resolve.worlds.iter() {
        let names = |items: &mut dyn Iterator<Item = &WorldItem>| -> anyhow::Result<BTreeSet<String>> {
            items
                .map(|item| match item {
                    WorldItem::Interface { id, .. } => interface_name(&resolve, *id),
                    other => Err(anyhow!("{}: {other:?} stands in no interface", world.name)),
                })
                .collect()
        };
        let read = World {
            imports: names(&mut world.imports.values())?,
            exports: names(&mut world.exports.values())?,
        };
        contract.worlds.insert(world.name.clone(), read);
    }
    Ok(contract)
}

/// Each way in which `new` breaks plugins that were built for `old`.
pub fn breaks(old: &Contract, new: &Contract) -> Vec<String> {
    let mut found = Vec::new();
    let exported =
        |name: &str| name == OPTIONAL_EXPORT || old.worlds.values().any(|world| world.exports.contains(name));
    for (name, then) in &old.interfaces {
        let Some(now) = new.interfaces.get(name) else {
            found.push(format!("{name} is gone"));
            continue;
        };
        lost_or_changed(name, "type", &then.types, &now.types, &mut found);
        lost_or_changed(name, "function", &then.functions, &now.functions, &mut found);
        if exported(name) {
            let asked = now.functions.keys().filter(|function| !then.functions.contains_key(*function));
            found.extend(
                asked.map(|function| format!("{name} asks for the function {function}, which no plugin has")),
            );
        }
    }
    for (name, then) in &old.worlds {
        let Some(now) = new.worlds.get(name) else {
            found.push(format!("the world {name} is gone"));
            continue;
        };
        let lost = then.imports.difference(&now.imports);
        found.extend(lost.map(|import| format!("the world {name} no longer imports {import}")));
        let lost = then.exports.difference(&now.exports);
        found.extend(lost.map(|export| format!("the world {name} no longer asks for the export {export}")));
        let asked = now.exports.difference(&then.exports);
        found.extend(
            asked.map(|export| format!("the world {name} asks for the export {export}, which no plugin has")),
        );
    }
    found
}

fn lost_or_changed(
    interface: &str,
    what: &str,
    then: &BTreeMap<String, String>,
    now: &BTreeMap<String, String>,
    found: &mut Vec<String>,
) {
    for (name, then) in then {
        match now.get(name) {
            None => found.push(format!("{interface} has lost the {what} {name}")),
            Some(now) if now != then => {
                found.push(format!("{interface} has changed the {what} {name}: it was {then} and is {now}"));
            }
            Some(_) => {}
        }
    }
}

fn interface_name(resolve: &Resolve, id: InterfaceId) -> anyhow::Result<String> {
    let interface = &resolve.interfaces[id];
    let package = interface.package.map(|package| &resolve.packages[package].name);
    match (package, &interface.name) {
        (Some(package), Some(name)) => Ok(format!("{}:{}/{name}", package.namespace, package.name)),
        _ => Err(anyhow!("an interface has no name")),
    }
}

/// A type where it is used.
fn told(resolve: &Resolve, given: &Type) -> String {
    match given {
        Type::Id(id) => structure(resolve, *id),
        primitive => format!("{primitive:?}").to_lowercase(),
    }
}

/// A type in all its parts, whatever names they have been given on the way. Types of the contract language never contain
/// themselves.
fn structure(resolve: &Resolve, id: TypeId) -> String {
    let told = |given: &Type| told(resolve, given);
    let option = |given: &Option<Type>| given.as_ref().map_or("_".to_owned(), told);
    let name = |id: TypeId| resolve.types[id].name.clone().unwrap_or_default();
    let list = |parts: Vec<String>| parts.join(", ");
    match &resolve.types[id].kind {
        TypeDefKind::Type(other) => told(other),
        TypeDefKind::Record(record) => {
            let field = |field: &wit_parser::Field| format!("{}: {}", field.name, told(&field.ty));
            format!("record {{ {} }}", list(record.fields.iter().map(field).collect()))
        }
        TypeDefKind::Variant(variant) => {
            let case = |case: &wit_parser::Case| format!("{}({})", case.name, option(&case.ty));
            format!("variant {{ {} }}", list(variant.cases.iter().map(case).collect()))
        }
        TypeDefKind::Enum(words) => {
            format!("enum {{ {} }}", list(words.cases.iter().map(|case| case.name.clone()).collect()))
        }
        TypeDefKind::Flags(flags) => {
            format!("flags {{ {} }}", list(flags.flags.iter().map(|flag| flag.name.clone()).collect()))
        }
        TypeDefKind::Tuple(tuple) => format!("tuple<{}>", list(tuple.types.iter().map(told).collect())),
        TypeDefKind::Option(inner) => format!("option<{}>", told(inner)),
        TypeDefKind::Result(result) => format!("result<{}, {}>", option(&result.ok), option(&result.err)),
        TypeDefKind::List(inner) => format!("list<{}>", told(inner)),
        TypeDefKind::Resource => format!("resource {}", name(id)),
        TypeDefKind::Handle(Handle::Own(resource)) => format!("own<{}>", name(*resource)),
        TypeDefKind::Handle(Handle::Borrow(resource)) => format!("borrow<{}>", name(*resource)),
        // The contract uses none of the others; one that did would have to be compared here first.
        other => unreachable!("{} is not compared yet", other.as_str()),
    }
}
