//! The identities of fields: what a CRDT calls a field, whatever its name is now.
//!
//! In: a struct with its history. Out: the identity of each field of each struct that is reached through structs
//! alone. Touches nothing.

use std::collections::HashMap;

use super::{
    Kind, Schema, Struct,
    history::{Migration, Origin, Step},
};
use crate::fnv;

/// The identities of a schema's fields, by their dotted paths.
///
/// ```
/// use kyneta_uds_schema::Schema;
///
/// let schema = Schema::structure([("text", Schema::text())])?;
/// assert_eq!(schema.identities().get("text"), Some("aa53b81ea63c64bf6f3c739c3600fbff"));
/// # Ok::<(), kyneta_uds_schema::SchemaError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identities {
    entries: Vec<(String, String)>,
    at: HashMap<String, usize>,
}

impl Identities {
    /// The identity of the field at a dotted path: 32 hex digits.
    pub fn get(&self, path: &str) -> Option<&str> {
        let (_, identity) = self.entries.get(*self.at.get(path)?)?;
        Some(identity)
    }

    /// All paths and identities, in the order of the fields.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.entries
            .iter()
            .map(|(path, identity)| (path.as_str(), identity.as_str()))
    }

    /// A field "a.b" and the field "b" of a struct "a" share a path, and so an identity.
    fn set(&mut self, path: String, identity: String) {
        let at = *self.at.entry(path.clone()).or_insert(self.entries.len());
        match self.entries.get_mut(at) {
            Some((_, known)) => *known = identity,
            None => self.entries.push((path, identity)),
        }
    }
}

impl Schema {
    /// The identities of its fields: of the struct itself, and of structs in it, but not below lists, records,
    /// trees and unions, where fields go by their names. None when it is no struct.
    pub fn identities(&self) -> Identities {
        let mut identities = Identities::default();
        if let Kind::Struct(structure) = self.kind() {
            collect(structure, &origins(structure), "", &mut identities);
        }
        identities
    }
}

fn collect(structure: &Struct, origins: &Origins, prefix: &str, out: &mut Identities) {
    for (name, field) in structure.fields() {
        let path = join(prefix, name);
        out.set(path.clone(), origins.identity(&path));
        let inner = match field.kind() {
            Kind::Decay { of, .. } => of.kind(),
            kind => kind,
        };
        if let Kind::Struct(inner) = inner {
            if inner.history.steps.is_empty() {
                collect(inner, origins, &path, out);
            } else {
                collect(inner, &self::origins(inner).below(&path), &path, out);
            }
        }
    }
}

fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() {
        name.to_owned()
    } else {
        format!("{prefix}.{name}")
    }
}

/// Where the fields of a struct come from; what is not in it is as it always was.
#[derive(Debug, Default)]
struct Origins(HashMap<String, Origin>);

impl Origins {
    fn identity(&self, path: &str) -> String {
        let text = match self.0.get(path) {
            Some(origin) => format!("{}:{}", origin.path, origin.generation),
            // The reference looks a path up in an object, and finds these in every object.
            None if IN_EVERY_OBJECT.contains(&path) => "undefined:undefined".to_owned(),
            None => format!("{path}:1"),
        };
        fnv::hex_128(text.as_bytes())
    }

    fn below(self, prefix: &str) -> Self {
        let below = |(name, origin): (String, Origin)| {
            let path = join(prefix, &origin.path);
            let origin = Origin { path, ..origin };
            (join(prefix, &name), origin)
        };
        Self(self.0.into_iter().map(below).collect())
    }
}

const IN_EVERY_OBJECT: [&str; 11] = [
    "__defineGetter__",
    "__defineSetter__",
    "__lookupGetter__",
    "__lookupSetter__",
    "constructor",
    "hasOwnProperty",
    "isPrototypeOf",
    "propertyIsEnumerable",
    "toLocaleString",
    "toString",
    "valueOf",
];

/// The origins of a struct's fields after its history; empty without one.
fn origins(structure: &Struct) -> Origins {
    let history = &structure.history;
    if history.steps.is_empty() {
        return Origins::default();
    }
    let mut replay = Replay::default();
    match &history.base {
        Some(base) => {
            for (name, origin) in base {
                let last = replay.last.entry(origin.path.clone()).or_default();
                *last = origin.generation.max(*last);
                replay.origins.insert(name.clone(), origin.clone());
            }
        }
        None => {
            for name in names_before(structure) {
                replay.create(name);
            }
        }
    }
    for step in &history.steps {
        match step {
            Step::Migrated(changes) => changes.iter().for_each(|change| replay.apply(change)),
            Step::Epoch(changes) => {
                changes.iter().for_each(|change| replay.apply(change));
                for name in replay.origins.keys().cloned().collect::<Vec<_>>() {
                    replay.create(name);
                }
            }
        }
    }
    let origin = |(name, _): (&str, _)| {
        let known = replay.origins.remove(name);
        let origin = known.unwrap_or_else(|| Origin {
            path: name.to_owned(),
            generation: 1,
        });
        (name.to_owned(), origin)
    };
    Origins(structure.fields().map(origin).collect())
}

/// The names of the fields before the history, or after its last epoch.
fn names_before(structure: &Struct) -> Vec<String> {
    let mut names: Vec<_> = structure
        .fields()
        .map(|(name, _)| name.to_owned())
        .collect();
    for step in structure.history.steps.iter().rev() {
        let Step::Migrated(changes) = step else { break };
        for change in changes.iter().rev() {
            match change {
                Migration::Add { name } => names.retain(|known| known != name),
                Migration::Remove { name } => {
                    names.retain(|known| known != name);
                    names.push(name.clone());
                }
                Migration::Rename { from, to } => {
                    if names.contains(to) {
                        names.retain(|known| known != to && known != from);
                        names.push(from.clone());
                    }
                }
                Migration::Retype { .. } | Migration::Inside { .. } => {}
            }
        }
    }
    names
}

/// The fields while a history is repeated.
#[derive(Default)]
struct Replay {
    origins: HashMap<String, Origin>,
    /// The last generation of each name.
    last: HashMap<String, u32>,
}

impl Replay {
    fn create(&mut self, name: String) {
        let last = self.last.entry(name.clone()).or_default();
        *last = last.saturating_add(1);
        let origin = Origin {
            path: name.clone(),
            generation: *last,
        };
        self.origins.insert(name, origin);
    }

    fn apply(&mut self, change: &Migration) {
        match change {
            Migration::Add { name } | Migration::Retype { name } => self.create(name.clone()),
            Migration::Remove { name } => {
                self.origins.remove(name);
            }
            Migration::Rename { from, to } => {
                if let Some(origin) = self.origins.remove(from) {
                    self.origins.insert(to.clone(), origin);
                }
            }
            Migration::Inside { .. } => {}
        }
    }
}
