//! The schema of an enum: a string with allowed values, a tagged union, or a union. It is set as a whole.
//!
//! In: an enum as syn reads it. Out: its `Described`, or an error at the variant that no schema can hold. Pure.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DataEnum, DeriveInput, Error, Fields, Result, Variant, ext::IdentExt as _};

use crate::{
    attributes::{Attributes, Names},
    structs::{named, structure},
};

pub(crate) fn derive(input: &DeriveInput, data: &DataEnum) -> Result<TokenStream> {
    let attributes = Attributes::of(&input.attrs)?;
    let (krate, name) = (attributes.krate(), &input.ident);
    let mut variants = Vec::new();
    let mut names = Names::default();
    for variant in &data.variants {
        let own = Attributes::of(&variant.attrs)?;
        if own.is_skipped {
            continue;
        }
        let plain = variant.ident.unraw().to_string();
        let name = match (&own.rename, attributes.rename_all) {
            (Some(name), _) => name.clone(),
            (None, Some(case)) => case.of_variant(&plain),
            (None, None) => plain,
        };
        names.add(&name, "variants", variant)?;
        variants.push((name, own, variant));
    }
    if variants.is_empty() {
        return Err(Error::new_spanned(
            name,
            "an enum without variants has no value",
        ));
    }
    let schema = if attributes.is_untagged {
        let types = variants.iter().map(|(.., variant)| only_type(variant));
        let types = types.collect::<Result<Vec<_>>>()?;
        quote! {
            #krate::Schema::union([#(<#types as #krate::Described>::describe(depth)?),*])
        }
    } else if let Some(tag) = &attributes.tag {
        let mut all = Vec::new();
        for (name, own, variant) in &variants {
            let case = own.rename_all.or(attributes.rename_all_fields);
            let fields = match &variant.fields {
                Fields::Named(fields) => named(fields.named.iter(), case)?,
                Fields::Unit => Vec::new(),
                Fields::Unnamed(fields) => {
                    let what = "a variant of a tagged enum is a struct: give the fields names";
                    return Err(Error::new_spanned(fields, what));
                }
            };
            if fields.iter().any(|field| field.name == *tag) {
                let what = format!("the field {tag:?} is the tag");
                return Err(Error::new_spanned(variant, what));
            }
            let schema = structure(&krate, &fields, Some((tag, name)));
            all.push(quote! { #schema? });
        }
        quote! { #krate::Schema::tagged(#tag, [#(#all),*]) }
    } else {
        let with_fields = variants
            .iter()
            .find(|(.., variant)| !matches!(variant.fields, Fields::Unit));
        if let Some((.., variant)) = with_fields {
            let what = "a variant with fields needs a tag, such as #[serde(tag = \"type\")] on the enum, or \
                        #[serde(untagged)]";
            return Err(Error::new_spanned(variant, what));
        }
        let names = variants.iter().map(|(name, ..)| name);
        quote! { ::core::result::Result::Ok(#krate::Schema::string_of([#(#names),*])) }
    };
    Ok(quote! {
        #[automatically_derived]
        impl #krate::Described for #name {
            type Handle<'b> = #krate::Value<'b, Self>;

            fn describe(
                depth: #krate::Depth,
            ) -> ::core::result::Result<#krate::Schema, #krate::SchemaError> {
                #[allow(unused_variables)]
                let depth = depth.below()?;
                #schema
            }

            fn handle(at: #krate::At<'_>) -> Self::Handle<'_> {
                #krate::Value::new(at)
            }
        }
    })
}

fn only_type(variant: &Variant) -> Result<&syn::Type> {
    match &variant.fields {
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => {
            let first = fields.unnamed.first().map(|field| &field.ty);
            first.ok_or_else(|| Error::new_spanned(variant, "a variant has one type"))
        }
        _ => Err(Error::new_spanned(
            variant,
            "a variant of an untagged enum has one type, such as Name(Type)",
        )),
    }
}
