//! Schemas in JSON, in a form that belongs to no programming language: `{"k": kind, ...}`.
//!
//! In: text. Out: a schema, or an error that says where in the text. Touches nothing.

use serde_json::{Map, Value};

use super::{Expand, Kind, Literal, Migration, Origin, ParseError, Scalar, Schema, SchemaError};

/// The longest text that is read, bytes.
const MAX_LEN: usize = 1 << 20;

impl Schema {
    /// Reads a schema from JSON. The deepest nesting is that of 127 lists or objects.
    ///
    /// `k` is the kind. The others are, by kind: `fields` ([[name, schema]...]) and `history` of a struct; `item` of
    /// list, record, movable, set and tree; `json` (true) of struct, list and record; `of`, a list of the allowed
    /// values of a string, number or boolean, or the schema of nullable and decay (with `ms`); `variants` of union
    /// and tagged (with `key`); `marks` ([[name, expand]...]) of richtext. A history is a list of
    /// `{"base": {name: {"originPath", "generation"}}}`, `{"migrated": [change...]}`, `{"epoch": [change...]}`.
    ///
    /// ```
    /// use kyneta_uds_schema::Schema;
    ///
    /// let schema = Schema::parse(r#"{"k": "struct", "fields": [["notes", {"k": "text"}]]}"#)?;
    /// let error = Schema::parse(r#"{"k": "struct", "fields": [["notes", {"k": "txt"}]]}"#).unwrap_err();
    /// assert_eq!(error.to_string(), "schema.notes: there is no kind \"txt\"");
    /// # Ok::<(), kyneta_uds_schema::ParseError>(())
    /// ```
    ///
    /// # Errors
    /// [`ParseError`], with the place.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let (len, limit) = (text.len(), MAX_LEN);
        if len > limit {
            return Err(ParseError::TooLong { len, limit });
        }
        let json: Value =
            serde_json::from_str(text).map_err(|error| ParseError::NotJson(error.to_string()))?;
        schema(&json, &Place(None, "schema"))
    }
}

type Result<T, E = ParseError> = std::result::Result<T, E>;

/// Where in the text: a chain of names, put together for an error alone.
struct Place<'p>(Option<&'p Self>, &'p str);

impl Place<'_> {
    fn path(&self) -> String {
        match self.0 {
            Some(parent) => format!("{}.{}", parent.path(), self.1),
            None => self.1.to_owned(),
        }
    }

    fn unexpected<T>(&self, what: impl Into<String>) -> Result<T> {
        let (at, what) = (self.path(), what.into());
        Err(ParseError::Unexpected { at, what })
    }

    fn valid<T>(&self, made: Result<T, SchemaError>) -> Result<T> {
        made.map_err(|error| ParseError::Invalid {
            at: self.path(),
            error,
        })
    }
}

/// The members of an object. Each is taken once; what is left over is not known.
struct Members<'j> {
    object: &'j Map<String, Value>,
    taken: Vec<&'static str>,
}

impl<'j> Members<'j> {
    fn of(json: &'j Value, at: &Place<'_>) -> Result<Self> {
        match json {
            Value::Object(object) => Ok(Self {
                object,
                taken: Vec::new(),
            }),
            other => at.unexpected(format!("expected an object, not {}", name_of(other))),
        }
    }

    fn take(&mut self, name: &'static str) -> Option<&'j Value> {
        self.taken.push(name);
        self.object.get(name)
    }

    fn text(&mut self, name: &'static str, at: &Place<'_>) -> Result<&'j str> {
        match self.take(name) {
            Some(Value::String(text)) => Ok(text),
            Some(other) => {
                let what = format!("expected a string, not {}", name_of(other));
                Place(Some(at), name).unexpected(what)
            }
            None => at.unexpected(format!("{name:?} is missing")),
        }
    }

    fn list(&mut self, name: &'static str, at: &Place<'_>) -> Result<&'j [Value]> {
        match self.take(name) {
            Some(Value::Array(list)) => Ok(list),
            Some(other) => {
                let what = format!("expected a list, not {}", name_of(other));
                Place(Some(at), name).unexpected(what)
            }
            None => at.unexpected(format!("{name:?} is missing")),
        }
    }

    fn schema(&mut self, name: &'static str, at: &Place<'_>) -> Result<Schema> {
        match self.take(name) {
            Some(json) => schema(json, &Place(Some(at), name)),
            None => at.unexpected(format!("{name:?} is missing")),
        }
    }

    fn number(&mut self, name: &'static str, at: &Place<'_>) -> Result<u64> {
        match self.take(name).map(Value::as_u64) {
            Some(Some(number)) => Ok(number),
            Some(None) => Place(Some(at), name).unexpected("expected an integer, 0 or more"),
            None => at.unexpected(format!("{name:?} is missing")),
        }
    }

    fn finish(self, at: &Place<'_>) -> Result<()> {
        let known = |name: &&String| !self.taken.contains(&name.as_str());
        match self.object.keys().find(known) {
            Some(name) => at.unexpected(format!("{name:?} has no meaning here")),
            None => Ok(()),
        }
    }
}

const fn name_of(json: &Value) -> &'static str {
    match json {
        Value::Null => "null",
        Value::Bool(_) => "a boolean value",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn schema(json: &Value, at: &Place<'_>) -> Result<Schema> {
    let mut members = Members::of(json, at)?;
    let kind = members.text("k", at)?;
    let made = match kind {
        "text" => Schema::text(),
        "counter" => Schema::counter(),
        "list" => Schema::list(members.schema("item", at)?),
        "record" => Schema::record(members.schema("item", at)?),
        "movable" => Schema::movable(members.schema("item", at)?),
        "set" => Schema::set(members.schema("item", at)?),
        "tree" => Schema::tree(members.schema("item", at)?),
        "nullable" => Schema::nullable(members.schema("of", at)?),
        "decay" => Schema::decay(members.schema("of", at)?, members.number("ms", at)?),
        "struct" => structure(&mut members, at)?,
        "union" => at.valid(Schema::union(variants(&mut members, at)?))?,
        "tagged" => {
            let key = members.text("key", at)?;
            at.valid(Schema::tagged(key, variants(&mut members, at)?))?
        }
        "richtext" => {
            let marks = members.list("marks", at)?;
            let marks = marks.iter().map(|mark| self::mark(mark, at));
            at.valid(Schema::rich_text(marks.collect::<Result<Vec<_>>>()?))?
        }
        "scalar" => {
            let name = members.text("scalar", at)?;
            scalar(name, &mut members, at)?
        }
        name => scalar(name, &mut members, at)?,
    };
    let made = match members.take("json") {
        None | Some(Value::Bool(false)) => made,
        Some(Value::Bool(true)) => at.valid(made.json())?,
        Some(_) => return Place(Some(at), "json").unexpected("expected true or false"),
    };
    members.finish(at)?;
    Ok(made)
}

fn scalar(name: &str, members: &mut Members<'_>, at: &Place<'_>) -> Result<Schema> {
    let Some(scalar) = Scalar::from_name(name) else {
        return at.unexpected(format!("there is no kind {name:?}"));
    };
    let allowed = match members.take("of") {
        None => &[][..],
        Some(Value::Array(allowed)) => allowed,
        Some(_) => return Place(Some(at), "of").unexpected("expected a list of allowed values"),
    };
    let literal = |value: &Value| {
        let literal = match (scalar, value) {
            (Scalar::String, Value::String(text)) => Some(Literal::String(text.clone())),
            (Scalar::Number, Value::Number(number)) => number.as_f64().map(Literal::Number),
            (Scalar::Boolean, Value::Bool(value)) => Some(Literal::Boolean(*value)),
            _ => None,
        };
        match literal {
            Some(literal) => Ok(literal),
            None => Place(Some(at), "of").unexpected(format!(
                "{} is no allowed value of a {name}",
                name_of(value)
            )),
        }
    };
    let allowed = allowed.iter().map(literal).collect::<Result<_>>()?;
    Ok(Schema::of(Kind::Scalar(scalar, allowed)))
}

fn variants(members: &mut Members<'_>, at: &Place<'_>) -> Result<Vec<Schema>> {
    let variants = members.list("variants", at)?.iter().enumerate();
    let variant = |(index, variant): (usize, &Value)| {
        let index = index.to_string();
        schema(variant, &Place(Some(at), &index))
    };
    variants.map(variant).collect()
}

fn mark(json: &Value, at: &Place<'_>) -> Result<(String, Expand)> {
    let (name, expand) = match json.as_array().map(Vec::as_slice) {
        Some([Value::String(name), Value::String(expand)]) => (name, expand),
        _ => return Place(Some(at), "marks").unexpected("expected [name, expand]"),
    };
    match Expand::from_name(expand) {
        Some(expand) => Ok((name.clone(), expand)),
        None => Place(Some(at), "marks")
            .unexpected(format!("{expand:?} is none of before, after, both, none")),
    }
}

fn structure(members: &mut Members<'_>, at: &Place<'_>) -> Result<Schema> {
    let field = |field: &Value| match field.as_array().map(Vec::as_slice) {
        Some([Value::String(name), json]) => {
            Ok((name.clone(), schema(json, &Place(Some(at), name))?))
        }
        _ => Place(Some(at), "fields").unexpected("expected [name, schema]"),
    };
    let fields = members.list("fields", at)?.iter().map(field);
    let made = at.valid(Schema::structure(fields.collect::<Result<Vec<_>>>()?))?;
    let at = &Place(Some(at), "history");
    match members.take("history") {
        None => Ok(made),
        Some(Value::Array(steps)) => steps.iter().try_fold(made, |made, s| step(made, s, at)),
        Some(_) => at.unexpected("expected a list"),
    }
}

fn step(made: Schema, json: &Value, at: &Place<'_>) -> Result<Schema> {
    let mut members = Members::of(json, at)?;
    let made = if let Some(base) = members.take("base") {
        let place = Place(Some(at), "base");
        let Value::Object(base) = base else {
            return place.unexpected("expected an object");
        };
        let origin = |(name, json): (&String, _)| Ok((name.clone(), origin(json, &place)?));
        let base = base.iter().map(origin).collect::<Result<Vec<_>>>()?;
        place.valid(made.migration_base(base))?
    } else if let Some(changes) = members.take("migrated") {
        let place = Place(Some(at), "migrated");
        place.valid(made.migrated(self::changes(changes, &place)?))?
    } else if let Some(changes) = members.take("epoch") {
        let place = Place(Some(at), "epoch");
        place.valid(made.epoch(self::changes(changes, &place)?))?
    } else {
        return at.unexpected("expected \"base\", \"migrated\" or \"epoch\"");
    };
    members.finish(at)?;
    Ok(made)
}

fn origin(json: &Value, at: &Place<'_>) -> Result<Origin> {
    let mut members = Members::of(json, at)?;
    let path = members.text("originPath", at)?.to_owned();
    let Ok(generation) = u32::try_from(members.number("generation", at)?) else {
        return at.unexpected("the generation is larger than 4,294,967,295");
    };
    members.finish(at)?;
    Ok(Origin { path, generation })
}

fn changes(json: &Value, at: &Place<'_>) -> Result<Vec<Migration>> {
    match json {
        Value::Array(changes) => changes.iter().map(|json| change(json, at)).collect(),
        other => at.unexpected(format!("expected a list, not {}", name_of(other))),
    }
}

/// What is given besides, such as the schema of what was removed, concerns no hash and no identity.
fn change(json: &Value, at: &Place<'_>) -> Result<Migration> {
    let mut members = Members::of(json, at)?;
    let change = match members.text("p", at)? {
        "add" => Migration::add(members.text("path", at)?),
        "remove" => {
            members.schema("schema", at)?;
            Migration::remove(members.text("path", at)?)
        }
        "rename" | "move" => Migration::rename(members.text("from", at)?, members.text("to", at)?),
        "retype" => Migration::retype(members.text("path", at)?),
        "addNullable" | "dropNullable" => Migration::inside(members.text("path", at)?),
        "widenConstraint" | "narrowConstraint" => {
            members.list("values", at)?;
            Migration::inside(members.text("path", at)?)
        }
        "addVariant" => {
            members.text("tag", at)?;
            Migration::inside(members.text("path", at)?)
        }
        "removeVariant" => {
            members.text("tag", at)?;
            members.schema("schema", at)?;
            Migration::inside(members.text("path", at)?)
        }
        "renameVariant" => {
            members.text("from", at)?;
            members.text("to", at)?;
            Migration::inside(members.text("path", at)?)
        }
        "renameDiscriminant" => {
            members.text("key", at)?;
            Migration::inside(members.text("path", at)?)
        }
        other => return at.unexpected(format!("there is no change {other:?}")),
    };
    members.finish(at)?;
    Ok(change)
}
