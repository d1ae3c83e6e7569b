//! The schema of a struct: its fields by their names; and its handle: a struct of the handles of its fields.
//!
//! In: a struct as syn reads it. Out: its `Described` and the type of its handle, or an error at the field. Pure.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{DataStruct, DeriveInput, Error, Field, Fields, Ident, Path, Result, ext::IdentExt as _};

use crate::{
    attributes::{Attributes, Names},
    case::Case,
};

pub(crate) fn derive(input: &DeriveInput, data: &DataStruct) -> Result<TokenStream> {
    let attributes = Attributes::of(&input.attrs)?;
    let (krate, name) = (attributes.krate(), &input.ident);
    if let Some(tag) = &attributes.tag {
        let what = format!("a struct has no tag: write a field {tag:?}");
        return Err(Error::new_spanned(name, what));
    }
    let fields = match &data.fields {
        Fields::Named(fields) => named(fields.named.iter(), attributes.rename_all)?,
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => {
            let inner = fields.unnamed.first().map(|field| &field.ty);
            return Ok(quote! {
                #[automatically_derived]
                impl #krate::Described for #name {
                    type Handle<'b> = <#inner as #krate::Described>::Handle<'b>;

                    fn describe(
                        depth: #krate::Depth,
                    ) -> ::core::result::Result<#krate::Schema, #krate::SchemaError> {
                        <#inner as #krate::Described>::describe(depth)
                    }

                    fn handle(at: #krate::At<'_>) -> Self::Handle<'_> {
                        <#inner as #krate::Described>::handle(at)
                    }
                }
            });
        }
        Fields::Unnamed(fields) => {
            let what = "a schema has names: give the fields names";
            return Err(Error::new_spanned(fields, what));
        }
        Fields::Unit => Vec::new(),
    };
    let json = attributes
        .is_json
        .then(|| quote! { .and_then(#krate::Schema::json) });
    let schema = structure(&krate, &fields, None);
    let (visible, handle) = (&input.vis, format_ident!("{name}Handle"));
    let idents = fields.iter().map(|field| field.ident);
    let (names, types) = (
        fields.iter().map(|f| &f.name),
        fields.iter().map(|f| f.ty()),
    );
    let visibles = fields.iter().map(|field| &field.field.vis);
    let (members, member_types) = (idents.clone(), types.clone());
    let doc = format!("Edits of a [`{name}`].");
    let docs = fields
        .iter()
        .map(|field| format!("Edits of the field `{}`.", field.name));
    Ok(quote! {
        #[doc = #doc]
        #[derive(Debug)]
        #visible struct #handle<'b> {
            #[doc(hidden)]
            #[allow(dead_code)]
            at: ::core::marker::PhantomData<&'b ()>,
            #(
                #[doc = #docs]
                #[allow(dead_code)]
                #visibles #members: <#member_types as #krate::Described>::Handle<'b>,
            )*
        }

        #[automatically_derived]
        impl #krate::Described for #name {
            type Handle<'b> = #handle<'b>;

            fn describe(
                depth: #krate::Depth,
            ) -> ::core::result::Result<#krate::Schema, #krate::SchemaError> {
                #[allow(unused_variables)]
                let depth = depth.below()?;
                #schema #json
            }

            fn handle(at: #krate::At<'_>) -> Self::Handle<'_> {
                #handle {
                    at: ::core::marker::PhantomData,
                    #(#idents: <#types as #krate::Described>::handle(at.field(#names)),)*
                }
            }
        }
    })
}

/// A field as peers see it.
pub(crate) struct Named<'f> {
    pub(crate) name: String,
    ident: &'f Ident,
    field: &'f Field,
    is_json: bool,
}

impl Named<'_> {
    const fn ty(&self) -> &syn::Type {
        &self.field.ty
    }
}

pub(crate) fn named<'f>(
    fields: impl Iterator<Item = &'f Field>,
    case: Option<Case>,
) -> Result<Vec<Named<'f>>> {
    let (mut all, mut names) = (Vec::new(), Names::default());
    for field in fields {
        let attributes = Attributes::of(&field.attrs)?;
        let Some(ident) = field.ident.as_ref().filter(|_| !attributes.is_skipped) else {
            continue;
        };
        let plain = ident.unraw().to_string();
        let name = match (attributes.rename, case) {
            (Some(name), _) => name,
            (None, Some(case)) => case.of_field(&plain),
            (None, None) => plain,
        };
        names.add(&name, "fields", field)?;
        let is_json = attributes.is_json;
        all.push(Named {
            name,
            ident,
            field,
            is_json,
        });
    }
    Ok(all)
}

/// The schema of a struct; with a tag, a variant of this name.
pub(crate) fn structure(
    krate: &Path,
    fields: &[Named<'_>],
    tag: Option<(&str, &str)>,
) -> TokenStream {
    let tag = tag.map(|(key, name)| {
        quote! { fields.push((#key, #krate::Schema::string_of([#name]))); }
    });
    let fields = fields.iter().map(|field| {
        let (name, ty) = (&field.name, field.ty());
        let json = field.is_json.then(|| quote! { .json()? });
        quote! { fields.push((#name, <#ty as #krate::Described>::describe(depth)? #json)); }
    });
    quote! {{
        #[allow(unused_mut)]
        let mut fields: ::std::vec::Vec<(&str, #krate::Schema)> = ::std::vec::Vec::new();
        #tag
        #(#fields)*
        #krate::Schema::structure(fields)
    }}
}
