//! The messages of the bench.

use kyneta_uds::{
    BoxError, Bytes, ChannelMsg, DocEntry, DocId, Offer, ReplicaType, SchemaHash, Version,
};

use crate::bench::work::Task;

/// Gives each document an alias.
pub(super) fn announcement(docs: &[&'static str]) -> Result<ChannelMsg, BoxError> {
    let entry = |doc: &&'static str| -> Result<_, BoxError> {
        let replica = ReplicaType::new("bench", 1.0, 0.0)?;
        Ok(DocEntry::new(
            DocId::new(*doc)?,
            replica,
            SchemaHash::new("00")?,
        ))
    };
    let entries = docs.iter().map(entry).collect::<Result<_, _>>()?;
    Ok(ChannelMsg::Present(entries))
}

pub(super) fn offer(doc: &str, task: Task) -> Result<Offer, BoxError> {
    let data = Bytes::from(vec![7; task.size]);
    Ok(Offer::binary(DocId::new(doc)?, Version::new("1")?, data).delta())
}
