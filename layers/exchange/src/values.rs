//! What a replica in another crate needs to hold values by a schema: a CRDT's, for one.
//!
//! In: a schema, values and edits. Out: whether they fit, and what they make. Touches nothing.
//!
//! ```
//! use kyneta_uds_exchange::{Edit, Json, Object, values};
//! use kyneta_uds_schema::Schema;
//!
//! let schema = Schema::structure([("hits", Schema::counter())])?;
//! let Some(Json::Object(mut value)) = values::zero(&schema) else { unreachable!() };
//! values::edit_object(&schema, &mut value, &[Edit::increment("hits", 2.0)])?;
//! assert!(values::fits(&schema, &Json::Object(value)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub use crate::plain::{edit_object, fits, zero};
