//! A document of a Rust type.
//!
//! In: edits by the type's handles. Out: values of the type. Touches the document's lock.

use std::{fmt, marker::PhantomData, ops::Deref};

use kyneta_uds_core::DocId;
use kyneta_uds_exchange::typed::{self, Described, ReadError, Typed};
use kyneta_uds_schema::SchemaError;
use serde::de::DeserializeOwned;

use super::{
    builder::ExchangeBuilder,
    document::{Document, DocumentError},
    exchange::Exchange,
    table::OpenError,
};

/// A [`Document`] that is edited and read as a Rust type, which `typed::Schema` derives.
///
/// ```
/// use kyneta_uds::{DocId, Identity, documents::{Exchange, typed::{Counter, Described, Plain, Schema}}};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Schema, Serialize, Deserialize)]
/// #[schema(crate = "kyneta_uds::documents::typed")]
/// #[serde(rename_all = "camelCase")]
/// struct Config {
///     dark_mode: bool,
///     hits: Counter,
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("bus.sock");
/// let exchange = Exchange::builder(Identity::service("billing-1")?).join(&path).await?;
/// let config = exchange.open_typed::<Plain<Config>>(DocId::new("config")?)?;
/// config.edit(|c| {
///     c.dark_mode.set(true);
///     c.hits.add(1.0);
/// })?; // one batch, one push
/// assert!(config.read()?.dark_mode);
/// # exchange.dispose().await;
/// # Ok(())
/// # }
/// ```
pub struct TypedDocument<T: Typed> {
    document: Document,
    of: PhantomData<fn() -> T>,
}

/// Why a document of a type cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenTypedError {
    /// The type has no schema.
    #[error("{doc} cannot be opened: its type has no schema")]
    Schema {
        /// Which document.
        doc: DocId,
        /// Why.
        source: SchemaError,
    },
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl ExchangeBuilder {
    /// As [`schema`](Self::schema), with the kind and the schema of a type.
    ///
    /// # Errors
    /// [`SchemaError`]: the type has no schema.
    ///
    /// ```
    /// use kyneta_uds::{Identity, documents::{Exchange, typed::{Plain, Schema}}};
    ///
    /// #[derive(Schema)]
    /// #[schema(crate = "kyneta_uds::documents::typed")]
    /// struct Config { mode: String }
    ///
    /// // A document of this type is opened when a peer presents one.
    /// let builder = Exchange::builder(Identity::service("billing-1")?).schema_of::<Plain<Config>>()?;
    /// # let _ = builder;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn schema_of<T: Typed>(self) -> Result<Self, SchemaError> {
        Ok(self.schema(T::SUBSTRATE, T::Value::schema()?))
    }
}

impl Exchange {
    /// As [`open`](Self::open), with the kind and the schema of a type.
    ///
    /// # Errors
    /// [`OpenTypedError`].
    pub fn open_typed<T: Typed>(&self, doc: DocId) -> Result<TypedDocument<T>, OpenTypedError> {
        let schema = T::Value::schema().map_err(|source| OpenTypedError::Schema {
            doc: doc.clone(),
            source,
        })?;
        Ok(TypedDocument {
            document: self.open(doc, T::SUBSTRATE, &schema)?,
            of: PhantomData,
        })
    }
}

impl<T: Typed> TypedDocument<T> {
    /// Makes the edits of a closure as one batch. The closure runs before the document is locked.
    ///
    /// # Errors
    /// [`DocumentError`]. Then none of the edits is made.
    pub fn edit(
        &self,
        make: impl FnOnce(<T::Value as Described>::Handle<'_>),
    ) -> Result<(), DocumentError> {
        let edits = typed::edits::<T::Value>(make)?;
        self.document.edit(&edits)
    }

    /// What it holds now.
    ///
    /// # Errors
    /// [`ReadError`], when a peer has written what the type cannot be.
    pub fn read(&self) -> Result<T::Value, ReadError>
    where
        T::Value: DeserializeOwned,
    {
        typed::read(&self.document.value())
    }
}

/// What all documents have: changes, versions, `synced`.
impl<T: Typed> Deref for TypedDocument<T> {
    type Target = Document;

    fn deref(&self) -> &Document {
        &self.document
    }
}

impl<T: Typed> Clone for TypedDocument<T> {
    fn clone(&self) -> Self {
        Self {
            document: self.document.clone(),
            of: PhantomData,
        }
    }
}

impl<T: Typed> fmt::Debug for TypedDocument<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.document.fmt(f)
    }
}
