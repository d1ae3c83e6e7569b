//! The texts that are hashed, one for each release.
//!
//! In: a schema. Out: its text, and the hash of it. Touches nothing.

use kyneta_uds_core::{SchemaHash, WireVersion};

use super::{Kind, Literal, Mark, Schema, Struct};
use crate::{fnv, js, order::NameOrder};

impl Schema {
    /// The text that is hashed: of release 2.x for wire version 3, of 1.8 for wire version 2. `None` when a value
    /// decays, which 1.8 does not know.
    ///
    /// Two documents whose hashes differ differ in it, so it belongs into the report of a mismatch.
    ///
    /// ```
    /// use kyneta_uds_core::WireVersion;
    /// use kyneta_uds_schema::Schema;
    ///
    /// let schema = Schema::structure([("notes", Schema::text())])?;
    /// assert_eq!(schema.canonical(WireVersion::V3).as_deref(), Some(r#"["p",[["notes",["t","text"]]]]"#));
    /// assert_eq!(schema.canonical(WireVersion::V2).as_deref(), Some("p(notes:t:text)"));
    /// # Ok::<(), kyneta_uds_schema::SchemaError>(())
    /// ```
    pub fn canonical(&self, wire: WireVersion) -> Option<String> {
        match wire {
            WireVersion::V3 => Some(self.canonical_2()),
            WireVersion::V2 => {
                let mut out = String::new();
                Release1(&NameOrder::new()).schema(self, &mut out)?;
                Some(out)
            }
        }
    }

    pub(super) fn canonical_2(&self) -> String {
        let mut out = String::new();
        Release2(&NameOrder::new()).schema(self, &mut out);
        out
    }

    /// The hash under which a peer of this wire version knows the document's type. `None` as for
    /// [`Schema::canonical`].
    pub fn hash(&self, wire: WireVersion) -> Option<SchemaHash> {
        let make = || {
            let text = self.canonical(wire)?;
            let algorithm = match wire {
                WireVersion::V2 => "01",
                WireVersion::V3 => "02",
            };
            // Never too long: it has 34 characters.
            SchemaHash::new(format!("{algorithm}{}", fnv::hex_128(text.as_bytes()))).ok()
        };
        self.0.hashes.own(wire, make)
    }
}

/// The fields of a struct in the order of the hash.
fn sorted<'s>(order: &NameOrder, structure: &'s Struct) -> Vec<(&'s str, &'s Schema)> {
    let mut fields: Vec<_> = structure.fields().collect();
    fields.sort_by(|(a, _), (b, _)| order.compare(a, b));
    fields
}

fn sorted_marks(marks: &[Mark]) -> Vec<&Mark> {
    let mut marks: Vec<_> = marks.iter().collect();
    marks.sort_by(|a, b| js::compare(&a.name, &b.name));
    marks
}

fn sorted_texts(mut texts: Vec<String>) -> Vec<String> {
    texts.sort_by(|a, b| js::compare(a, b));
    texts
}

/// Appends each item, with commas between.
fn list<T>(out: &mut String, items: impl IntoIterator<Item = T>, item: impl Fn(T, &mut String)) {
    for (at, each) in items.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        item(each, out);
    }
}

/// JSON text without blanks.
struct Release2<'a>(&'a NameOrder);

impl Release2<'_> {
    fn schema(&self, schema: &Schema, out: &mut String) {
        if schema.is_json() {
            out.push_str("[\"j\",");
        }
        self.kind(schema.kind(), out);
        if schema.is_json() {
            out.push(']');
        }
    }

    fn kind(&self, kind: &Kind, out: &mut String) {
        match kind {
            Kind::Scalar(scalar, allowed) => {
                out.push_str("[\"s\",");
                js::push_json(out, scalar.name());
                if !allowed.is_empty() {
                    out.push_str(",[");
                    list(out, allowed, |value, out| js::push_json(out, &json(value)));
                    out.push(']');
                }
                out.push(']');
            }
            Kind::Text | Kind::Counter => {
                out.push_str("[\"t\",");
                js::push_json(out, kind.name());
                out.push(']');
            }
            Kind::RichText(marks) => {
                out.push_str("[\"t\",\"richtext\",[");
                list(out, sorted_marks(marks), |mark, out| {
                    out.push('[');
                    js::push_json(out, &mark.name);
                    out.push(',');
                    js::push_json(out, mark.expand.name());
                    out.push(']');
                });
                out.push_str("]]");
            }
            Kind::Struct(structure) => {
                out.push_str("[\"p\",[");
                list(out, sorted(self.0, structure), |(name, field), out| {
                    out.push('[');
                    js::push_json(out, name);
                    out.push(',');
                    self.schema(field, out);
                    out.push(']');
                });
                out.push_str("]]");
            }
            Kind::List(item) => self.around("[\"q\",", item, out),
            Kind::Record(item) => self.around("[\"m\",", item, out),
            Kind::Movable(item) => self.around("[\"t\",\"movable\",", item, out),
            Kind::Set(item) => self.around("[\"t\",\"set\",", item, out),
            Kind::Tree(item) => self.around("[\"t\",\"tree\",", item, out),
            Kind::Union(variants) => {
                out.push_str("[\"u\",[");
                list(out, variants, |variant, out| self.schema(variant, out));
                out.push_str("]]");
            }
            Kind::Tagged { key, variants } => {
                out.push_str("[\"d\",");
                js::push_json(out, key);
                out.push_str(",[");
                let texts = variants.iter().map(|variant| {
                    let mut text = String::new();
                    self.schema(variant, &mut text);
                    text
                });
                list(out, sorted_texts(texts.collect()), |text, out| {
                    out.push_str(&text);
                });
                out.push_str("]]");
            }
            Kind::Decay { of, .. } => self.schema(of, out),
        }
    }

    fn around(&self, open: &str, item: &Schema, out: &mut String) {
        out.push_str(open);
        self.schema(item, out);
        out.push(']');
    }
}

fn json(value: &Literal) -> String {
    match value {
        Literal::String(text) => {
            let mut out = String::new();
            js::push_json(&mut out, text);
            out
        }
        other => plain(other),
    }
}

fn plain(value: &Literal) -> String {
    match value {
        Literal::String(text) => text.clone(),
        Literal::Number(number) => js::number_text(*number),
        Literal::Boolean(value) => value.to_string(),
    }
}

/// Names and values as they are, without escapes: two schemas may have one text.
struct Release1<'a>(&'a NameOrder);

impl Release1<'_> {
    /// `None` when a value decays.
    fn schema(&self, schema: &Schema, out: &mut String) -> Option<()> {
        match schema.kind() {
            Kind::Scalar(scalar, allowed) => {
                out.push_str("s:");
                out.push_str(scalar.name());
                if !allowed.is_empty() {
                    out.push('[');
                    list(out, allowed, |value, out| out.push_str(&plain(value)));
                    out.push(']');
                }
            }
            Kind::Text => out.push_str("t:text"),
            Kind::Counter => out.push_str("t:counter"),
            Kind::RichText(marks) => {
                out.push_str("t:richtext(");
                list(out, sorted_marks(marks), |mark, out| {
                    out.push_str(&mark.name);
                    out.push(':');
                    out.push_str(mark.expand.name());
                });
                out.push(')');
            }
            Kind::Struct(structure) => {
                out.push_str("p(");
                let fields = sorted(self.0, structure).into_iter().map(|(name, field)| {
                    let mut text = format!("{name}:");
                    self.schema(field, &mut text)?;
                    Some(text)
                });
                let fields: Option<Vec<_>> = fields.collect();
                out.push_str(&fields?.join(","));
                out.push(')');
            }
            Kind::List(item) => self.around("q(", item, out)?,
            Kind::Record(item) => self.around("m(", item, out)?,
            Kind::Movable(item) => self.around("t:movable(", item, out)?,
            Kind::Set(item) => self.around("t:set(", item, out)?,
            Kind::Tree(item) => self.around("t:tree(", item, out)?,
            Kind::Union(variants) => {
                out.push_str("u(");
                out.push_str(&self.all(variants)?.join(","));
                out.push(')');
            }
            Kind::Tagged { key, variants } => {
                out.push_str(&format!("d:{key}("));
                out.push_str(&sorted_texts(self.all(variants)?).join(","));
                out.push(')');
            }
            Kind::Decay { .. } => return None,
        }
        Some(())
    }

    fn all(&self, schemas: &[Schema]) -> Option<Vec<String>> {
        let text = |schema: &Schema| {
            let mut text = String::new();
            self.schema(schema, &mut text)?;
            Some(text)
        };
        schemas.iter().map(text).collect()
    }

    fn around(&self, open: &str, item: &Schema, out: &mut String) -> Option<()> {
        out.push_str(open);
        self.schema(item, out)?;
        out.push(')');
        Some(())
    }
}
