//! `[[records]]`: the types of records that a plugin declares.
//!
//! ```toml
//! [[records]]
//! name = "case"
//! title = "Case"
//! customer = "required"
//! indexes = ["state"]
//! unique = ["number"]
//! [records.schema]
//! type = "object"
//! required = ["number", "state"]
//! [records.schema.properties]
//! number = { type = "integer" }
//! state = { type = "string", enum = ["open", "closed"] }
//! ```

use regard_model::Invalid;
use regard_model::record::declaration::TYPES_MAX;
use regard_model::record::{RecordDeclaration, RecordType};

use super::Fault;

/// Checks all declarations of the plugin `id`.
pub(super) fn check(id: &str, declarations: &[RecordDeclaration]) -> Result<(), Fault> {
    if declarations.len() > TYPES_MAX {
        return Err(Fault::new(
            "records",
            format!("declares {} types", declarations.len()),
            format!("declare at most {TYPES_MAX}"),
        ));
    }
    for (at, declaration) in declarations.iter().enumerate() {
        let within = |problem: Fault| problem.under(&format!("records[{at}]"));
        RecordType::new(id, declaration.clone()).map_err(|invalid| within(fault(invalid)))?;
        if declarations[..at].iter().any(|earlier| earlier.name == declaration.name) {
            let problem = format!("`{}` is declared twice", declaration.name);
            return Err(within(Fault::new("name", problem, "give each type its own name")));
        }
    }
    Ok(())
}

/// The model says what is wrong and, behind a semicolon, how to mend it.
pub(super) fn fault(invalid: Invalid) -> Fault {
    let (problem, mend) = invalid.reason.rsplit_once("; ").unwrap_or((&invalid.reason, "correct it"));
    Fault::new(invalid.field, problem, mend)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::manifest::Manifest;

    const PLUGIN: &str = "id = \"hook-case\"\nname = \"Cases\"\nversion = \"0.1.0\"\ncontract = \"0.1.0\"\n\
        runtime = \"luau\"\ncapabilities = [\"hook\"]\n";
    const CASE: &str = "[[records]]\nname = \"case\"\ntitle = \"Case\"\ncustomer = \"required\"\nindexes = [\"state\"]\n\
        unique = [\"number\"]\n[records.schema]\ntype = \"object\"\n[records.schema.properties]\n\
        state = { type = \"string\" }\nnumber = { type = \"integer\" }\nlines = { type = \"array\" }\n";

    fn check(text: &str, message: &str) {
        let error = Manifest::parse(&format!("{PLUGIN}{text}"), Path::new("plugin.toml")).expect_err(message);
        assert_eq!(error.to_string(), format!("plugin.toml: {message}"));
    }

    #[test]
    fn types_survive_a_round_trip() {
        let text = format!("{PLUGIN}[permissions]\nrecords = {{ \"coupon\" = \"write\" }}\n{CASE}");
        let manifest = Manifest::parse(&text, Path::new("plugin.toml")).expect("a manifest");
        assert_eq!(
            (manifest.records.len(), manifest.records[0].unique.as_slice()),
            (1, &["number".to_owned()][..])
        );
        let again = toml::to_string(&manifest).expect("serialise");
        assert_eq!(Manifest::parse(&again, Path::new("plugin.toml")).expect("parse again"), manifest);
    }

    #[test]
    fn errors_name_type_key_and_mend() {
        check(
            &CASE.replace("\"case\"", "\"Case\""),
            "`records[0].name` `Case` is not a kebab-case name of at most 64 characters; \
             use lower-case letters, digits and single hyphens, such as `support-case`",
        );
        check(
            &CASE.replace("\"state\"]", "\"state\", \"lines\"]"),
            "`records[0].indexes[1]` `lines` is not of one scalar type; \
             give it the type string, integer, number or boolean",
        );
        check(
            &CASE.replace("\"number\"]", "\"nummer\"]"),
            "`records[0].unique[0]` `nummer` is no property of the schema; describe it there",
        );
        check(
            &format!("{CASE}{CASE}"),
            "`records[1].name` `case` is declared twice; give each type its own name",
        );
        check(
            &CASE.replace("type = \"object\"", "type = \"array\""),
            "`records[0].schema` does not describe an object; begin it with type = \"object\"",
        );
        let many: String = (0..33).map(|at| CASE.replace("\"case\"", &format!("\"case-{at}\""))).collect();
        check(&many, "`records` declares 33 types; declare at most 32");
        check(
            "[permissions]\nrecords = { \"A\" = \"read\" }\n",
            "`permissions.records.name` `A` is not a kebab-case name of at most 64 characters; \
             use lower-case letters, digits and single hyphens, such as `support-case`",
        );
    }
}
