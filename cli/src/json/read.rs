//! JSON to messages.
//!
//! In: a JSON value. Out: a message that can be sent, or the path of the first field that is not as it must be. Pure.

use std::borrow::Cow;

use kyneta_uds::{
    ByteString, ChannelMsg, Data, DocEntry, DocId, Encoding, Establish, Features, Identity,
    Interest, Observe, Offer, PayloadKind, PeerType, ProtocolVersion, ReplicaType, SyncMode,
    TextTooLong,
};

use super::{error::JsonError, number, value::Json, write::mode_fields};

type Result<T> = std::result::Result<T, JsonError>;

/// Reads a message. An unknown field is an error, because it is usually a typing mistake.
pub(crate) fn message(json: &Json<'_>) -> Result<ChannelMsg> {
    let mut fields = Fields::of(json)?;
    let msg = message_of(&mut fields)?;
    fields.finish()?;
    Ok(msg)
}

/// Reads a message as it passes over a link: an offer may say which version it starts from.
pub(crate) fn linked_message(json: &Json<'_>) -> Result<ChannelMsg> {
    let mut fields = Fields::of(json)?;
    let mut msg = message_of(&mut fields)?;
    if let ChannelMsg::Offer(offer) = &mut msg {
        offer.base = fields.optional("base", bounded)?.map(Box::new);
    }
    fields.finish()?;
    Ok(msg)
}

fn message_of(fields: &mut Fields<'_, '_>) -> Result<ChannelMsg> {
    let kind = fields.required("type", text)?;
    let msg = match kind {
        "establish" => ChannelMsg::Establish(establish(fields)?),
        "depart" => ChannelMsg::Depart,
        "present" => ChannelMsg::Present(fields.required("docs", |docs| list(docs, doc_entry))?),
        "interest" => ChannelMsg::Interest(Interest {
            doc: fields.required("docId", doc_id)?,
            version: fields.optional("version", bounded)?,
            reciprocate: fields.optional("reciprocate", boolean)?,
        }),
        "offer" => ChannelMsg::Offer(offer(fields)?),
        "dismiss" => ChannelMsg::Dismiss(fields.required("docId", doc_id)?),
        "vacant" => ChannelMsg::Vacant(fields.required("docId", doc_id)?),
        other => {
            return Err(JsonError::new(format!(
                "{other:?} is none of establish, depart, present, interest, offer, dismiss, vacant"
            ))
            .under("type"));
        }
    };
    Ok(msg)
}

fn establish(fields: &mut Fields<'_, '_>) -> Result<Establish> {
    Ok(Establish {
        identity: fields.required("identity", identity)?,
        features: fields.optional("features", features)?,
        protocol: fields
            .optional("protocolVersion", protocol)?
            .unwrap_or_default(),
        observe: fields.optional("observe", |json| {
            choose(
                json,
                &["members", "messages", "documents"],
                |name| match name {
                    "members" => Some(Observe::Members),
                    "documents" => Some(Observe::Documents),
                    "messages" => Some(Observe::Messages),
                    _ => None,
                },
            )
        })?,
    })
}

fn identity(json: &Json<'_>) -> Result<Identity> {
    let mut fields = Fields::of(json)?;
    let identity = Identity {
        peer_id: fields.required("peerId", bounded)?,
        name: fields.optional("name", bounded)?,
        peer_type: fields.required("type", |json| {
            choose(json, &["user", "bot", "service"], |name| {
                PeerType::from_name(name)
            })
        })?,
    };
    fields.finish()?;
    Ok(identity)
}

fn features(json: &Json<'_>) -> Result<Features> {
    let mut fields = Fields::of(json)?;
    let features = Features {
        alias: fields.optional("alias", boolean)?,
        streamed: fields.optional("streamed", boolean)?,
        datagram: fields.optional("datagram", boolean)?,
    };
    fields.finish()?;
    Ok(features)
}

fn protocol(json: &Json<'_>) -> Result<ProtocolVersion> {
    let mut fields = Fields::of(json)?;
    let major = fields.required("major", number::count)?;
    let minor = fields.required("minor", number::count)?;
    fields.finish()?;
    ProtocolVersion::new(major, minor).map_err(|error| JsonError::new(error.to_string()))
}

fn doc_entry(json: &Json<'_>) -> Result<DocEntry> {
    let mut fields = Fields::of(json)?;
    let entry = DocEntry {
        doc: fields.required("docId", doc_id)?,
        replica: fields.required("replicaType", replica)?,
        mode: fields.required("syncMode", mode)?,
        schema: fields.required("schemaHash", bounded)?,
        supported: fields.optional("supportedHashes", |hashes| list(hashes, bounded))?,
    };
    fields.finish()?;
    Ok(entry)
}

/// A replica type: `[name, major, minor]`.
pub(crate) fn replica(json: &Json<'_>) -> Result<ReplicaType> {
    match json {
        Json::List(parts) => match parts.as_slice() {
            [name, major, minor] => Ok(ReplicaType {
                name: bounded(name).map_err(|error| error.under("0"))?,
                major: number::number(major).map_err(|error| error.under("1"))?,
                minor: number::number(minor).map_err(|error| error.under("2"))?,
            }),
            _ => Err(expected("[name, major, minor]", json)),
        },
        _ => Err(expected("[name, major, minor]", json)),
    }
}

fn mode(json: &Json<'_>) -> Result<SyncMode> {
    let mut fields = Fields::of(json)?;
    let given = [
        ("writerModel", fields.required("writerModel", text)?),
        ("delivery", fields.required("delivery", text)?),
        ("durability", fields.required("durability", text)?),
    ];
    fields.finish()?;
    [
        SyncMode::Collaborative,
        SyncMode::Authoritative,
        SyncMode::Ephemeral,
    ]
    .into_iter()
    .find(|mode| mode_fields(*mode) == given)
    .ok_or_else(|| {
        JsonError::new(
            "no such mode; there are concurrent, delta-capable, persistent; serialized, \
                 delta-capable, persistent; and concurrent, snapshot-only, transient",
        )
    })
}

fn offer(fields: &mut Fields<'_, '_>) -> Result<Offer> {
    let doc = fields.required("docId", doc_id)?;
    let version = fields.required("version", bounded)?;
    let reciprocate = fields.optional("reciprocate", boolean)?;
    fields.required("payload", |json| {
        let mut payload = Fields::of(json)?;
        let offer = Offer {
            doc,
            kind: payload.required("kind", |json| {
                choose(json, &["entirety", "since"], |name| match name {
                    "entirety" => Some(PayloadKind::Entirety),
                    "since" => Some(PayloadKind::Since),
                    _ => None,
                })
            })?,
            encoding: payload.required("encoding", |json| {
                choose(json, &["json", "binary"], |name| match name {
                    "json" => Some(Encoding::Json),
                    "binary" => Some(Encoding::Binary),
                    _ => None,
                })
            })?,
            data: payload.required("data", data)?,
            version,
            reciprocate,
            lineage: payload.optional("lineage", bounded)?,
            base: None,
        };
        payload.finish()?;
        Ok(offer)
    })
}

fn data(json: &Json<'_>) -> Result<Data> {
    match json {
        Json::Text(text) => Ok(Data::Text(ByteString::from(text.as_ref()))),
        Json::Object(fields) => match fields.as_slice() {
            [(key, Json::Text(digits))] if key == "$bytes" => Ok(Data::Bytes(
                bytes(digits).map_err(|error| error.under("$bytes"))?.into(),
            )),
            _ => Err(expected("text or {\"$bytes\": hex}", json)),
        },
        _ => Err(expected("text or {\"$bytes\": hex}", json)),
    }
}

/// Bytes in hex, two digits each.
pub(crate) fn bytes(digits: &str) -> Result<Vec<u8>> {
    hex::decode(digits).map_err(|error| {
        JsonError::new(match error {
            hex::FromHexError::InvalidHexCharacter { c, index } => {
                format!("{c:?} at {index} is no hex digit")
            }
            _ => format!("{} hex digits; bytes have two each", digits.len()),
        })
    })
}

fn doc_id(json: &Json<'_>) -> Result<DocId> {
    bounded(json)
}

/// A text whose type limits its length.
pub(crate) fn bounded<T: for<'a> TryFrom<&'a str, Error = TextTooLong>>(
    json: &Json<'_>,
) -> Result<T> {
    T::try_from(text(json)?).map_err(|error| {
        JsonError::new(format!(
            "{} bytes exceed the limit of {}",
            error.len, error.limit
        ))
    })
}

fn choose<T>(json: &Json<'_>, names: &[&str], find: impl Fn(&str) -> Option<T>) -> Result<T> {
    let name = text(json)?;
    find(name).ok_or_else(|| JsonError::new(format!("{name:?} is none of {}", names.join(", "))))
}

pub(crate) fn list<T>(
    json: &Json<'_>,
    mut item: impl FnMut(&Json<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let Json::List(items) = json else {
        return Err(expected("a list", json));
    };
    let read =
        |(index, json): (usize, _)| item(json).map_err(|error| error.under(&index.to_string()));
    items.iter().enumerate().map(read).collect()
}

/// A text.
pub(crate) fn text<'j>(json: &'j Json<'_>) -> Result<&'j str> {
    match json {
        Json::Text(text) => Ok(text),
        _ => Err(expected("text", json)),
    }
}

/// True or false.
pub(crate) fn boolean(json: &Json<'_>) -> Result<bool> {
    match json {
        Json::Bool(value) => Ok(*value),
        _ => Err(expected("true or false", json)),
    }
}

fn expected(what: &str, got: &Json<'_>) -> JsonError {
    JsonError::new(format!("expected {what}, not {}", got.kind()))
}

/// The fields of an object, read by name.
pub(crate) struct Fields<'j, 'a> {
    fields: &'j [(Cow<'a, str>, Json<'a>)],
    asked: Vec<&'static str>,
}

impl<'j, 'a> Fields<'j, 'a> {
    pub(crate) fn of(json: &'j Json<'a>) -> Result<Self> {
        match json {
            Json::Object(fields) => Ok(Self {
                fields,
                asked: Vec::new(),
            }),
            _ => Err(expected("an object", json)),
        }
    }

    /// A required field.
    pub(crate) fn required<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&'j Json<'a>) -> Result<T>,
    ) -> Result<T> {
        self.optional(name, read)?
            .ok_or_else(|| JsonError::new("missing").under(name))
    }

    /// An optional field.
    pub(crate) fn optional<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&'j Json<'a>) -> Result<T>,
    ) -> Result<Option<T>> {
        self.asked.push(name);
        // As in JavaScript, the last field of a name counts.
        let value = self
            .fields
            .iter()
            .rfind(|(known, _)| known == name)
            .map(|(_, value)| value);
        value
            .map(read)
            .transpose()
            .map_err(|error| error.under(name))
    }

    /// Fails if there is a field that was not read.
    pub(crate) fn finish(&self) -> Result<()> {
        match self
            .fields
            .iter()
            .find(|(name, _)| !self.asked.contains(&name.as_ref()))
        {
            None => Ok(()),
            Some((name, _)) => {
                let known = self.asked.join(", ");
                Err(JsonError::new(format!("unknown field; known here: {known}")).under(name))
            }
        }
    }
}
