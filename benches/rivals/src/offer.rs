//! The message for libraries with typed messages: the fields of a kyneta-uds offer, for serde or prost.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::works::Task;

/// The document's name.
pub(crate) const DOC: &str = "sink";
/// Its version.
pub(crate) const VERSION: &str = "1";

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
pub(crate) struct Offer {
    #[prost(string, tag = "1")]
    pub(crate) doc: String,
    #[prost(string, tag = "2")]
    pub(crate) version: String,
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) data: Bytes,
}

impl Offer {
    pub(crate) fn of(task: Task) -> Self {
        Self {
            doc: DOC.to_owned(),
            version: VERSION.to_owned(),
            data: task.data(),
        }
    }
}
