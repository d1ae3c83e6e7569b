//! Structs: named fields, and how they came to be.
//!
//! In: fields and steps in the order of declaration. Out: a struct that every peer hashes alike; or why there is
//! none. Pure.

use super::{
    Kind, Schema, SchemaError,
    history::{History, Migration, Origin, Step},
    supported::{MAX_SHAPES, shape_count},
};
use crate::{js, order::NameOrder};

/// The fields of a struct, as JavaScript orders them: integers first, then as declared.
#[derive(Debug, Clone, PartialEq)]
pub struct Struct {
    fields: Vec<(String, Schema)>,
    pub(super) history: History,
}

impl Struct {
    pub(super) const fn new(fields: Vec<(String, Schema)>) -> Self {
        Self {
            fields,
            history: History::NONE,
        }
    }

    /// The fields in order.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = (&str, &Schema)> {
        self.fields
            .iter()
            .map(|(name, schema)| (name.as_str(), schema))
    }

    /// The fields in the order of their names in the hash, which is that of the English language.
    ///
    /// ```
    /// use kyneta_uds_schema::{Kind, Schema};
    /// let schema = Schema::structure([("b", Schema::text()), ("C", Schema::text()), ("a", Schema::text())])?;
    /// let Kind::Struct(structure) = schema.kind() else { unreachable!() };
    /// let names: Vec<_> = structure.fields_by_name().into_iter().map(|(name, _)| name).collect();
    /// assert_eq!(names, ["a", "b", "C"]);
    /// # Ok::<(), kyneta_uds_schema::SchemaError>(())
    /// ```
    pub fn fields_by_name(&self) -> Vec<(&str, &Schema)> {
        let order = NameOrder::new();
        let mut fields: Vec<_> = self.fields().collect();
        fields.sort_by(|(a, _), (b, _)| order.compare(a, b));
        fields
    }

    /// The field of this name.
    pub fn field(&self, name: &str) -> Option<&Schema> {
        self.fields()
            .find_map(|(field, schema)| (field == name).then_some(schema))
    }
}

impl Schema {
    /// A struct of named fields.
    ///
    /// # Errors
    /// [`SchemaError::DuplicateField`], [`SchemaError::ForbiddenField`], [`SchemaError::TooManyShapes`].
    pub fn structure<N: Into<String>>(
        fields: impl IntoIterator<Item = (N, Self)>,
    ) -> Result<Self, SchemaError> {
        let mut all: Vec<_> = fields
            .into_iter()
            .map(|(name, schema)| (name.into(), schema))
            .collect();
        let mut names: Vec<_> = all.iter().map(|(name, _)| name).collect();
        names.sort();
        if let Some(name) = names.windows(2).find_map(|pair| match pair {
            [a, b] if a == b => Some((*a).clone()),
            _ => None,
        }) {
            return Err(SchemaError::DuplicateField { name });
        }
        if all.iter().any(|(name, _)| name == "__proto__") {
            return Err(SchemaError::ForbiddenField);
        }
        all.sort_by_key(|(name, _)| js::array_index(name).map_or(u64::MAX, u64::from));
        Self::of(Kind::Struct(Struct::new(all))).checked()
    }

    /// Adds a step to the history of a struct: what changed, all at once, to become what it is now. Steps are
    /// added oldest first.
    ///
    /// ```
    /// use kyneta_uds_core::WireVersion;
    /// use kyneta_uds_schema::{Migration, Schema};
    ///
    /// let now = Schema::structure([("body", Schema::text())])?
    ///     .migrated([Migration::rename("text", "body")])?;
    /// let before = Schema::structure([("text", Schema::text())])?;
    /// // A peer with the schema of before shares the document, and both call the field the same.
    /// let supported = now.supported_hashes(WireVersion::V3).expect("no field decays");
    /// assert_eq!(supported.get(1), before.hash(WireVersion::V3).as_ref());
    /// assert_eq!(now.identities().get("body"), before.identities().get("text"));
    /// # Ok::<(), kyneta_uds_schema::SchemaError>(())
    /// ```
    ///
    /// # Errors
    /// [`SchemaError::NoHistory`], [`SchemaError::EmptyStep`], [`SchemaError::TooManyShapes`].
    pub fn migrated(
        self,
        changes: impl IntoIterator<Item = Migration>,
    ) -> Result<Self, SchemaError> {
        let changes: Vec<_> = changes.into_iter().collect();
        if changes.is_empty() {
            return Err(SchemaError::EmptyStep);
        }
        self.with_history(|history| {
            history.steps.push(Step::Migrated(changes));
            Ok(())
        })
    }

    /// Adds an epoch to the history of a struct: after these changes all fields are new, and former schemas are
    /// not supported.
    ///
    /// # Errors
    /// [`SchemaError::NoHistory`].
    pub fn epoch(self, changes: impl IntoIterator<Item = Migration>) -> Result<Self, SchemaError> {
        let changes = changes.into_iter().collect();
        self.with_history(|history| {
            history.steps.push(Step::Epoch(changes));
            Ok(())
        })
    }

    /// Sets where the history of a struct starts: the names of its fields then, and their origins. A base that
    /// no step follows has no effect.
    ///
    /// # Errors
    /// [`SchemaError::NoHistory`], [`SchemaError::LateBase`].
    pub fn migration_base<N: Into<String>>(
        self,
        base: impl IntoIterator<Item = (N, Origin)>,
    ) -> Result<Self, SchemaError> {
        let base = base.into_iter().map(|(name, origin)| (name.into(), origin));
        let base = base.collect();
        self.with_history(|history| {
            if history.base.is_some() || !history.steps.is_empty() {
                return Err(SchemaError::LateBase);
            }
            history.base = Some(base);
            Ok(())
        })
    }

    fn with_history(
        self,
        change: impl FnOnce(&mut History) -> Result<(), SchemaError>,
    ) -> Result<Self, SchemaError> {
        let mut kind = self.kind().clone();
        match &mut kind {
            Kind::Struct(structure) => change(&mut structure.history)?,
            other => return Err(SchemaError::NoHistory { kind: other.name() }),
        }
        Self::new(kind, self.is_json()).checked()
    }

    fn checked(self) -> Result<Self, SchemaError> {
        let (count, limit) = (shape_count(&self), MAX_SHAPES);
        if count > limit {
            return Err(SchemaError::TooManyShapes { count, limit });
        }
        Ok(self)
    }
}
