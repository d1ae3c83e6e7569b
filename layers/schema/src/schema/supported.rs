//! The hashes that a schema supports: its own, and those of the schemas that it came from.
//!
//! A history is undone step by step, as far as that is possible; the former shapes of all structs are combined.

use kyneta_uds_core::{SchemaHash, WireVersion};

use super::{
    Kind, Schema, Struct,
    history::{Migration, Step},
};

/// The most shapes that a schema may have: their hashes go into each announcement of a document.
pub(super) const MAX_SHAPES: usize = 1_024;

impl Schema {
    /// The hashes of all schemas whose documents can be shared with this one: its own first, then former ones,
    /// newest first. `None` as for [`Schema::canonical`].
    pub fn supported_hashes(&self, wire: WireVersion) -> Option<Vec<SchemaHash>> {
        let make = || {
            let mut hashes = Vec::new();
            for shape in shapes(self) {
                let hash = shape.hash(wire)?;
                if !hashes.contains(&hash) {
                    hashes.push(hash);
                }
            }
            Some(hashes)
        };
        self.0.hashes.supported(wire, make)
    }
}

/// How many shapes there are, without making them.
pub(super) fn shape_count(schema: &Schema) -> usize {
    let structure = match schema.kind() {
        Kind::Struct(structure) => structure,
        Kind::Decay { of, .. } => return shape_count(of),
        _ => return 1,
    };
    let of = |fields: &[Field]| {
        let counts = fields.iter().map(|(_, field)| shape_count(field));
        counts.fold(1, usize::saturating_mul)
    };
    let counts = former(structure).into_iter().map(|fields| of(&fields));
    counts.fold(0, usize::saturating_add)
}

type Field = (String, Schema);

/// The shapes of a schema: now, then before each step.
fn shapes(schema: &Schema) -> Vec<Schema> {
    let structure = match schema.kind() {
        Kind::Struct(structure) => structure,
        Kind::Decay { of, ms } => {
            let decaying = |of| Schema::decay(of, *ms);
            return shapes(of).into_iter().map(decaying).collect();
        }
        _ => return vec![schema.clone()],
    };
    former(structure)
        .into_iter()
        .flat_map(combined)
        .map(|fields| {
            let kind = Kind::Struct(Struct::new(fields));
            let json = schema.is_json();
            Schema::new(kind, json)
        })
        .collect()
}

/// Every choice of a shape for each field; the last field changes fastest.
fn combined(fields: Vec<Field>) -> Vec<Vec<Field>> {
    let mut all = vec![Vec::new()];
    for (name, field) in fields {
        let shapes = shapes(&field);
        let with = |begun: Vec<Field>| {
            let name = &name;
            shapes.iter().map(move |shape| {
                let mut begun = begun.clone();
                begun.push((name.clone(), shape.clone()));
                begun
            })
        };
        all = all.into_iter().flat_map(with).collect();
    }
    all
}

/// The fields now, and before each step that can be undone, back to the first that cannot.
fn former(structure: &Struct) -> Vec<Vec<Field>> {
    let mut fields: Vec<_> = structure
        .fields()
        .map(|(name, field)| (name.to_owned(), field.clone()))
        .collect();
    let mut all = vec![fields.clone()];
    for step in structure.history.steps.iter().rev() {
        let Step::Migrated(changes) = step else { break };
        let undone = changes.iter().rev().try_for_each(|c| undo(c, &mut fields));
        if undone.is_none() {
            break;
        }
        all.push(fields.clone());
    }
    all
}

/// A name with a dot is that of a field further inside, which the reference does not undo either.
fn undo(change: &Migration, fields: &mut Vec<Field>) -> Option<()> {
    let find = |fields: &[Field], name: &str| {
        let plain = !name.contains('.');
        fields.iter().position(|(known, _)| plain && known == name)
    };
    match change {
        Migration::Add { name } => {
            fields.remove(find(fields, name)?);
        }
        Migration::Rename { from, to } => {
            let at = find(fields, to)?;
            if from.contains('.') || find(fields, from).is_some() {
                return None;
            }
            let (_, field) = fields.remove(at);
            fields.push((from.clone(), field));
        }
        _ => return None,
    }
    Some(())
}
