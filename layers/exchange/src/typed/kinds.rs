//! A type together with the kind of document that holds it.

use std::marker::PhantomData;

use kyneta_uds_schema::Substrate;

use super::described::Described;

/// A kind of document and the type of its value: [`Plain<Config>`](Plain), for one.
///
/// ```
/// use kyneta_uds_exchange::typed::{Loro, Record, Typed};
/// use kyneta_uds_schema::Substrate;
/// assert_eq!(<Loro<Record<bool>> as Typed>::SUBSTRATE, Substrate::Loro);
/// ```
pub trait Typed {
    /// The type.
    type Value: Described;
    /// The kind.
    const SUBSTRATE: Substrate;
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $substrate:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name<T>(PhantomData<fn() -> T>);

        impl<T: Described> Typed for $name<T> {
            type Value = T;
            const SUBSTRATE: Substrate = Substrate::$substrate;
        }
    )*};
}

kinds! {
    /// A plain JSON document.
    Plain = Plain;
    /// An ephemeral document.
    Ephemeral = Ephemeral;
    /// A Loro document.
    Loro = Loro;
    /// A Yjs document.
    Yjs = Yjs;
}
