//! The derive of a document's schema. Use it through `kyneta_uds_exchange::typed`, where it is described.
//!
//! In: a type with its attributes. Out: the code of its schema and of its handle; or compile errors, each where it
//! belongs. It reads no file and no environment.

mod attributes;
mod case;
mod enums;
mod structs;

use proc_macro2::TokenStream;
use syn::{Data, DeriveInput, Error, Result, parse_macro_input};

/// Implements `Described`: the schema of a struct or an enum, and what edits it. See `kyneta_uds_exchange::typed`.
#[proc_macro_derive(Schema, attributes(schema, serde))]
pub fn derive_schema(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    derive(&input)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

fn derive(input: &DeriveInput) -> Result<TokenStream> {
    if let Some(parameter) = input.generics.params.first() {
        let what =
            "a document's schema is derived for a type without parameters: write the types in";
        return Err(Error::new_spanned(parameter, what));
    }
    match &input.data {
        Data::Struct(data) => structs::derive(input, data),
        Data::Enum(data) => enums::derive(input, data),
        Data::Union(data) => Err(Error::new_spanned(
            data.union_token,
            "a union has no schema: use a struct, or an enum",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error of a type.
    fn error(text: &str) -> String {
        let input = syn::parse_str(text).expect("it is Rust");
        derive(&input).expect_err("it has no schema").to_string()
    }

    #[test]
    fn types_without_a_schema_are_told_why() {
        for (text, expected) in [
            (
                "union U { a: u8 }",
                "a union has no schema: use a struct, or an enum",
            ),
            (
                "struct S<T> { a: T }",
                "a document's schema is derived for a type without parameters: write the types in",
            ),
            (
                "struct S(u8, u8);",
                "a schema has names: give the fields names",
            ),
            (
                "struct S { a: u8, #[serde(rename = \"a\")] b: u8 }",
                "two fields are named \"a\"",
            ),
            (
                "struct S { __proto__: u8 }",
                "a field must not be named \"__proto__\", by which JavaScript reaches other objects",
            ),
            (
                "struct S { #[serde(flatten)] a: T }",
                "a schema has no \"flatten\": a peer would see other fields than the schema says",
            ),
            (
                "#[serde(rename_all = \"Camel\")] struct S { a: u8 }",
                "there is no case \"Camel\": use lowercase, UPPERCASE, PascalCase, camelCase, snake_case, \
                 SCREAMING_SNAKE_CASE, kebab-case or SCREAMING-KEBAB-CASE",
            ),
            (
                "struct S { #[schema(jsn)] a: u8 }",
                "there is no \"jsn\" here: a field and a struct have #[schema(json)], a type #[schema(crate = \"path\")]",
            ),
            ("enum E {}", "an enum without variants has no value"),
            (
                "enum E { A { x: u8 } }",
                "a variant with fields needs a tag, such as #[serde(tag = \"type\")] on the enum, or \
                 #[serde(untagged)]",
            ),
            (
                "#[serde(tag = \"t\")] enum E { A(u8) }",
                "a variant of a tagged enum is a struct: give the fields names",
            ),
            (
                "#[serde(tag = \"t\")] enum E { A { t: u8 } }",
                "the field \"t\" is the tag",
            ),
            (
                "#[serde(tag = \"t\", content = \"c\")] enum E { A { x: u8 } }",
                "a schema has no \"content\": a peer would see other fields than the schema says",
            ),
            (
                "#[serde(untagged)] enum E { A { x: u8 } }",
                "a variant of an untagged enum has one type, such as Name(Type)",
            ),
            (
                "enum E { A, #[serde(rename = \"A\")] B }",
                "two variants are named \"A\"",
            ),
        ] {
            assert_eq!(error(text), expected, "{text}");
        }
    }
}
