//! The types that authors in Luau program against, `sdk/luau/regard.d.luau`, are those of the contract: what it says of a
//! record or of a function of the host, the types say as well.

use std::collections::BTreeMap;

use wit_parser::{Resolve, Type, TypeDefKind, TypeId, TypeOwner};

use super::compare::resolve;
use super::root;

/// Records that have another name in Luau, or another shape with a reason of its own.
const RECORDS: [(&str, Luau); 13] = [
    ("records.entry", Luau::Type("Record")),
    ("records.filter", Luau::Type("RecordQuery")),
    ("interactions.filter", Luau::Type("Query")),
    ("http.request", Luau::Type("Request")),
    ("http.response", Luau::Type("Response")),
    // A list's end is written where the function is.
    ("records.page", Luau::Inline),
    ("interactions.page", Luau::Inline),
    ("connector.page", Luau::Inline),
    ("connector.received", Luau::Inline),
    // Flat, since the two stand in a variant that Luau has as a table with a `type`.
    ("hook.observed", Luau::Inline),
    ("evaluator.input", Luau::Inline),
    // Columns are buffers, and parameters' schema is a table.
    ("types.column", Luau::Inline),
    ("types.batch", Luau::Inline),
];
/// Records that only components need.
const ONLY_COMPONENTS: [&str; 3] = ["types.utf8-column", "types.dictionary-column", "evaluator.metric"];
/// Functions of the host with another name in Luau.
const FUNCTIONS: [(&str, &str); 2] = [("log.write", "info"), ("config.json", "get")];
/// Fields whose type is another one in Luau.
const FIELDS: [(&str, &str); 2] =
    [("records.entry.data", "any"), ("records.filter.equal", "{ [string]: any }")];

#[derive(Clone, Copy, PartialEq)]
enum Luau {
    Type(&'static str),
    Inline,
}

/// The types' file without comments.
fn file() -> String {
    let text = std::fs::read_to_string(root().join("sdk/luau/regard.d.luau")).expect("the types");
    text.lines().map(|line| line.split("--").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// What stands between the braces that open at `from`.
fn braces(text: &str, from: usize) -> &str {
    let open = text[from..].find('{').expect("an opening brace") + from;
    let mut depth = 0;
    for (at, letter) in text[open..].char_indices() {
        depth += i32::from(letter == '{') - i32::from(letter == '}');
        if depth == 0 {
            return &text[open + 1..open + at];
        }
    }
    panic!("no closing brace: {}", &text[open..]);
}

/// `name: type` by name.
fn fields(body: &str) -> BTreeMap<String, String> {
    let (mut depth, mut parts) = (0, vec![String::new()]);
    for letter in body.chars() {
        depth += i32::from("{(".contains(letter)) - i32::from("})".contains(letter));
        match letter {
            ',' if depth == 0 => parts.push(String::new()),
            _ => parts.last_mut().expect("a part").push(letter),
        }
    }
    let pair = |part: &String| {
        let (name, kind) = part.split_once(':')?;
        Some((name.trim().to_owned(), kind.split_whitespace().collect::<Vec<_>>().join(" ")))
    };
    parts.iter().filter_map(pair).collect()
}

fn pascal(name: &str) -> String {
    let capital = |word: &str| format!("{}{}", word[..1].to_uppercase(), &word[1..]);
    name.split('-').map(capital).collect()
}

/// `interface.name` of a type.
fn place(resolve: &Resolve, id: TypeId) -> Option<String> {
    let definition = &resolve.types[id];
    let TypeOwner::Interface(owner) = definition.owner else { return None };
    Some(format!("{}.{}", resolve.interfaces[owner].name.as_ref()?, definition.name.as_ref()?))
}

/// A type of the contract as Luau has it.
fn luau(resolve: &Resolve, kind: &Type) -> String {
    match kind {
        Type::Bool => "boolean".to_owned(),
        Type::String | Type::Char => "string".to_owned(),
        Type::Id(id) => match &resolve.types[*id].kind {
            TypeDefKind::Option(inner) => format!("{}?", luau(resolve, inner)),
            TypeDefKind::List(Type::U8) => "string".to_owned(),
            TypeDefKind::List(inner) => match luau(resolve, inner).as_str() {
                "(string, string)" => "{ [string]: string }".to_owned(),
                "(string, Value)" => "Attributes".to_owned(),
                inner => format!("{{ {inner} }}"),
            },
            TypeDefKind::Tuple(parts) => {
                let parts: Vec<_> = parts.types.iter().map(|part| luau(resolve, part)).collect();
                format!("({})", parts.join(", "))
            }
            TypeDefKind::Type(inner) => luau(resolve, inner),
            _ => pascal(resolve.types[*id].name.as_deref().unwrap_or_default()),
        },
        _ => "number".to_owned(),
    }
}

#[test]
fn records_have_the_fields_of_the_contract() {
    let (resolve, file) = (resolve(&root().join("sdk/wit")).expect("the contract"), file());
    let (mut compared, mut wrong) = (0, Vec::new());
    for (id, definition) in resolve.types.iter() {
        let (TypeDefKind::Record(record), Some(place)) = (&definition.kind, place(&resolve, id)) else {
            continue;
        };
        if ONLY_COMPONENTS.contains(&place.as_str()) {
            continue;
        }
        let named = RECORDS.iter().find(|(name, _)| *name == place).map(|(_, luau)| *luau);
        let name = match named {
            Some(Luau::Inline) => {
                // Its fields stand somewhere, each by its name.
                for field in &record.fields {
                    let field = field.name.replace('-', "_");
                    if !file.contains(&format!("{field}:")) {
                        wrong.push(format!("{place}.{field} stands nowhere"));
                    }
                }
                continue;
            }
            Some(Luau::Type(name)) => name.to_owned(),
            None => pascal(definition.name.as_deref().unwrap_or_default()),
        };
        let Some(at) = file.find(&format!("type {name} = {{")) else {
            wrong.push(format!("{place}: there is no type {name}"));
            continue;
        };
        let declared = fields(braces(&file, at));
        for field in &record.fields {
            let wanted = FIELDS.iter().find(|(known, _)| *known == format!("{place}.{}", field.name));
            let wanted = wanted.map_or_else(|| luau(&resolve, &field.ty), |(_, kind)| (*kind).to_owned());
            let name_here = field.name.replace('-', "_");
            match declared.get(&name_here) {
                // What a plugin gives may be left out in Luau; what may be missing must never look certain.
                Some(found) if *found == wanted || found.strip_suffix('?') == Some(&wanted) => compared += 1,
                found => wrong.push(format!("{name}.{name_here}: wanted {wanted}, found {found:?}")),
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
    assert!(compared > 60, "only {compared} fields were compared");
}

#[test]
fn the_host_has_the_functions_of_the_contract() {
    let (resolve, file) = (resolve(&root().join("sdk/wit")).expect("the contract"), file());
    let regard = fields(braces(&file, file.find("declare regard").expect("the host")));
    let imports = resolve.worlds.iter().flat_map(|(_, world)| world.imports.values());
    let mut wrong = Vec::new();
    for import in imports {
        let wit_parser::WorldItem::Interface { id, .. } = import else { continue };
        let interface = &resolve.interfaces[*id];
        let name = interface.name.as_deref().unwrap_or_default();
        for function in interface.functions.keys() {
            let there = FUNCTIONS.iter().find(|(known, _)| *known == format!("{name}.{function}"));
            let there = there.map_or_else(|| function.replace('-', "_"), |(_, there)| (*there).to_owned());
            let declared = regard.get(name).map(|body| fields(braces(body, 0))).unwrap_or_default();
            if !declared.contains_key(&there) {
                wrong.push(format!("regard.{name}.{there}"));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}
