//! Messages as the vectors write them.
//!
//! In: JSON of the vectors, messages. Out: the other one. What it does not know ends the test.

use kyneta_uds_core::{
    ByteString, Bytes, ChannelMsg, Data, DocEntry, DocId, Encoding, Interest, Offer, PayloadKind,
    ReplicaType, SchemaHash, SyncMode, Version,
};
use kyneta_uds_relay::Diagnostic;
use serde_json::Value;

pub(crate) fn doc(id: &Value) -> DocId {
    DocId::new(id.as_str().unwrap()).unwrap()
}

fn version(version: &Value) -> Version {
    Version::new(version.as_str().unwrap()).unwrap()
}

fn hash(hash: &Value) -> SchemaHash {
    SchemaHash::new(hash.as_str().unwrap()).unwrap()
}

pub(crate) fn message(msg: &Value) -> ChannelMsg {
    let id = || doc(&msg["docId"]);
    let reciprocate = msg.get("reciprocate").map(|r| r.as_bool().unwrap());
    match msg["type"].as_str().unwrap() {
        "present" => {
            let docs = msg["docs"].as_array().unwrap();
            ChannelMsg::Present(docs.iter().map(entry).collect())
        }
        "interest" => ChannelMsg::Interest(Interest {
            doc: id(),
            version: msg.get("version").map(version),
            reciprocate,
        }),
        "offer" => {
            let payload = &msg["payload"];
            let data = &payload["data"];
            ChannelMsg::Offer(Offer {
                doc: id(),
                kind: match payload["kind"].as_str().unwrap() {
                    "entirety" => PayloadKind::Entirety,
                    _ => PayloadKind::Since,
                },
                encoding: match payload["encoding"].as_str().unwrap() {
                    "json" => Encoding::Json,
                    _ => Encoding::Binary,
                },
                data: match data.as_str() {
                    Some(text) => Data::Text(ByteString::from(text)),
                    None => {
                        let bytes = hex::decode(data["$bytes"].as_str().unwrap()).unwrap();
                        Data::Bytes(Bytes::from(bytes))
                    }
                },
                version: version(&msg["version"]),
                reciprocate,
                lineage: None,
                base: msg.get("base").map(version).map(Box::new),
            })
        }
        "dismiss" => ChannelMsg::Dismiss(id()),
        "vacant" => ChannelMsg::Vacant(id()),
        other => panic!("{other}"),
    }
}

fn entry(entry: &Value) -> DocEntry {
    let replica = &entry["replicaType"];
    let number = |at: usize| replica[at].as_f64().unwrap();
    let mode = &entry["syncMode"];
    let replica = ReplicaType::new(
        ByteString::from(replica[0].as_str().unwrap()),
        number(1),
        number(2),
    );
    let mut made = DocEntry::new(
        doc(&entry["docId"]),
        replica.unwrap(),
        hash(&entry["schemaHash"]),
    );
    made.mode = match (mode["writerModel"].as_str(), mode["delivery"].as_str()) {
        (Some("serialized"), _) => SyncMode::Authoritative,
        (_, Some("snapshot-only")) => SyncMode::Ephemeral,
        _ => SyncMode::Collaborative,
    };
    let supported = entry
        .get("supportedHashes")
        .map(|all| all.as_array().unwrap());
    made.supported = supported.map(|all| all.iter().map(hash).collect());
    made
}

pub(crate) fn diagnostic(code: &Value) -> Diagnostic {
    let all = [
        Diagnostic::NotEstablished,
        Diagnostic::MismatchReplicaType,
        Diagnostic::MismatchSyncMode,
        Diagnostic::MismatchSchemaHash,
        Diagnostic::ChangedEntry,
        Diagnostic::MemberDocsLimit,
        Diagnostic::DocsLimit,
        Diagnostic::OfferWithoutPresent,
        Diagnostic::AnswerWithoutAsk,
        Diagnostic::DismissUnknown,
    ];
    let code = code.as_str().unwrap();
    all.into_iter().find(|known| known.code() == code).unwrap()
}
