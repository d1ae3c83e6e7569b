//! The attributes of types, fields and variants that a schema depends on. Those of serde that change what a peer would
//! see in a way that no schema says are errors.

use syn::{
    Attribute, Error, Ident, LitStr, Path, Result, meta::ParseNestedMeta, parse_quote,
    spanned::Spanned,
};

use crate::case::Case;

/// What `#[serde(..)]` and `#[schema(..)]` say.
#[derive(Default)]
pub(crate) struct Attributes {
    pub(crate) rename: Option<String>,
    pub(crate) rename_all: Option<Case>,
    pub(crate) rename_all_fields: Option<Case>,
    pub(crate) tag: Option<String>,
    pub(crate) is_untagged: bool,
    pub(crate) is_skipped: bool,
    pub(crate) is_json: bool,
    krate: Option<Path>,
}

/// Of serde's attributes, those after which a document would hold something else than its schema says.
const FOREIGN: [&str; 12] = [
    "content",
    "flatten",
    "from",
    "getter",
    "into",
    "other",
    "remote",
    "serialize_with",
    "skip_serializing",
    "skip_serializing_if",
    "try_from",
    "with",
];

impl Attributes {
    pub(crate) fn of(attributes: &[Attribute]) -> Result<Self> {
        let mut all = Self::default();
        for attribute in attributes {
            if attribute.path().is_ident("serde") {
                attribute.parse_nested_meta(|meta| all.serde(&meta))?;
            } else if attribute.path().is_ident("schema") {
                attribute.parse_nested_meta(|meta| all.schema(&meta))?;
            }
        }
        Ok(all)
    }

    fn serde(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        let name = name(meta);
        match name.as_str() {
            "rename" => self.rename = Some(serialized(meta)?.value()),
            "rename_all" => self.rename_all = Some(case(&serialized(meta)?)?),
            "rename_all_fields" => self.rename_all_fields = Some(case(&serialized(meta)?)?),
            "tag" => self.tag = Some(meta.value()?.parse::<LitStr>()?.value()),
            "untagged" => self.is_untagged = true,
            "skip" => self.is_skipped = true,
            foreign if FOREIGN.contains(&foreign) => {
                let what = "a peer would see other fields than the schema says";
                return Err(meta.error(format!("a schema has no {foreign:?}: {what}")));
            }
            // What else serde has changes how it reads, or how Rust is generated.
            _ => pass(meta)?,
        }
        Ok(())
    }

    fn schema(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        match name(meta).as_str() {
            "json" => self.is_json = true,
            "crate" => self.krate = Some(meta.value()?.parse::<LitStr>()?.parse()?),
            other => {
                return Err(meta.error(format!(
                    "there is no {other:?} here: a field and a struct have #[schema(json)], a type #[schema(crate = \"path\")]"
                )));
            }
        }
        Ok(())
    }

    /// The path of the module whose traits are implemented.
    pub(crate) fn krate(&self) -> Path {
        match &self.krate {
            Some(path) => path.clone(),
            None => parse_quote!(::kyneta_uds_exchange::typed),
        }
    }
}

fn name(meta: &ParseNestedMeta<'_>) -> String {
    let name = meta.path.get_ident().map(Ident::to_string);
    name.unwrap_or_default()
}

/// `= "x"`, or the x of `(serialize = "x", deserialize = "y")`: a document is written with it.
fn serialized(meta: &ParseNestedMeta<'_>) -> Result<LitStr> {
    if meta.input.peek(syn::Token![=]) {
        return meta.value()?.parse();
    }
    let mut found = None;
    meta.parse_nested_meta(|inner| {
        let value: LitStr = inner.value()?.parse()?;
        if inner.path.is_ident("serialize") {
            found = Some(value);
        }
        Ok(())
    })?;
    found.ok_or_else(|| meta.error("the name that is written is missing: serialize = \"name\""))
}

fn case(name: &LitStr) -> Result<Case> {
    Case::parse(&name.value()).ok_or_else(|| {
        let mut names = Case::NAMES.map(|(name, _)| name);
        names.sort_by_key(|name| Case::NAMES.iter().position(|(known, _)| known == name));
        let (last, others) = names.split_last().unwrap_or((&"", &[]));
        let others = others.join(", ");
        let what = format!(
            "there is no case {:?}: use {others} or {last}",
            name.value()
        );
        Error::new(name.span(), what)
    })
}

fn pass(meta: &ParseNestedMeta<'_>) -> Result<()> {
    if meta.input.peek(syn::Token![=]) {
        meta.value()?.parse::<syn::Expr>()?;
    } else if meta.input.peek(syn::token::Paren) {
        meta.parse_nested_meta(|inner| pass(&inner))?;
    }
    Ok(())
}

/// Names that stand beside one another, each once.
#[derive(Default)]
pub(crate) struct Names(Vec<String>);

impl Names {
    pub(crate) fn add(&mut self, name: &str, what: &str, at: &impl Spanned) -> Result<()> {
        let error = |what: String| Err(Error::new(at.span(), what));
        if name == "__proto__" && what == "fields" {
            return error(
                "a field must not be named \"__proto__\", by which JavaScript reaches other objects"
                    .to_owned(),
            );
        }
        if self.0.iter().any(|known| known == name) {
            return error(format!("two {what} are named {name:?}"));
        }
        self.0.push(name.to_owned());
        Ok(())
    }
}
