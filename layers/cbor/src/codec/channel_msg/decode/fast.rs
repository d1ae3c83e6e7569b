//! Decoding in the expected key order: in, a payload; out, a message, or `None` for "not as expected".
//!
//! One pass from the front. It accepts nothing that [`general`](super::general) rejects. It reports no error: at
//! the first unexpected byte it gives up, and has changed nothing.

use kyneta_uds_core::{
    ChannelMsg, DocId, Encoding, Establish, Features, Identity, Interest, Name, Payload,
    PayloadKind, PeerId, PeerType, ProtocolVersion, Rejection, SyncMode,
};

use super::{
    DecodeLimits, InboundState,
    cursor::{BYTES, Cursor, TEXT},
    form::{DocRef, Form},
    present::{RawEntry, RawPresent, RawSchema},
};

/// Decodes an offer, the most frequent message. `None`: its keys are not in the usual form.
#[inline(always)]
pub(super) fn offer<'a, F: Form<'a>>(payload: &Payload<'a>, mut form: F) -> Option<F::Offer> {
    let cursor = &mut Cursor::new(payload);
    let [keys, b'\x61', b't', 0x12] = *cursor.chunk()? else {
        return None;
    };
    let keys = keys.checked_sub(0xa0)?;
    let [kind_key @ .., kind] = *cursor.chunk::<4>()?;
    let [encoding_key @ .., encoding] = *cursor.chunk::<4>()?;
    if kind_key != *b"\x62pk" || encoding_key != *b"\x62pe" || !cursor.eat(b"\x61d") {
        return None;
    }
    let kind = match kind {
        0 => PayloadKind::Entirety,
        1 => PayloadKind::Since,
        _ => return None,
    };
    let encoding = match encoding {
        0 => Encoding::Json,
        1 => Encoding::Binary,
        _ => return None,
    };
    let (major, len) = cursor.head()?;
    let data = match major {
        BYTES => F::bytes(cursor, len)?,
        TEXT => F::text(cursor, len)?,
        _ => return None,
    };
    cursor.eat(b"\x61v").then_some(())?;
    let version = F::version(cursor)?;
    let doc = form.doc(doc_ref(cursor)?)?;
    let reciprocate = reciprocate(cursor)?;
    let lineage = if cursor.eat(b"\x62ln") {
        Some(form.lineage(cursor.text()?)?)
    } else {
        None
    };
    let expected = 6 + u8::from(reciprocate.is_some()) + u8::from(lineage.is_some());
    (keys == expected).then_some(())?;
    cursor.end()?;
    form.offer(kind, encoding, data, version, doc, reciprocate, lineage)
}

/// Any other message. `None`: not as expected.
pub(super) fn message(
    payload: &Payload<'_>,
    known: &mut InboundState,
    limits: &DecodeLimits,
) -> Option<Result<ChannelMsg, Rejection>> {
    let cursor = &mut Cursor::new(payload);
    let [keys, b'\x61', b't', kind] = *cursor.chunk()? else {
        return None;
    };
    let keys = keys.checked_sub(0xa0)?;
    match kind {
        0x11 => Some(Ok(ChannelMsg::Interest(interest(cursor, keys, known)?))),
        0x13 if keys == 2 => Some(Ok(ChannelMsg::Dismiss(last_doc_ref(cursor, known)?))),
        0x14 if keys == 2 => Some(Ok(ChannelMsg::Vacant(last_doc_ref(cursor, known)?))),
        0x10 if keys == 2 => {
            let raw = present(cursor, limits)?;
            Some(raw.resolve(known, limits).map_err(Rejection::Alias))
        }
        0x01 => {
            let establish = establish(cursor, keys)?;
            known.accepts_aliases = establish.aliases();
            Some(Ok(ChannelMsg::Establish(establish)))
        }
        0x02 if keys == 1 => cursor.end().map(|()| Ok(ChannelMsg::Depart)),
        _ => None,
    }
}

fn interest(cursor: &mut Cursor<'_>, keys: u8, known: &mut InboundState) -> Option<Interest> {
    let doc = doc_ref(cursor)?.by_value(known)?;
    let version = if cursor.eat(b"\x61v") {
        Some(cursor.bounded_str()?)
    } else {
        None
    };
    let reciprocate = reciprocate(cursor)?;
    let expected = 2 + u8::from(version.is_some()) + u8::from(reciprocate.is_some());
    (keys == expected).then_some(())?;
    cursor.end()?;
    Some(Interest {
        doc,
        version,
        reciprocate,
    })
}

#[inline(always)]
fn doc_ref<'a>(cursor: &mut Cursor<'a>) -> Option<DocRef<'a>> {
    if cursor.eat(b"\x62dx") {
        let alias = u32::try_from(cursor.uint()?).ok()?;
        return Some(DocRef::Alias(alias));
    }
    cursor.eat(b"\x63doc").then_some(())?;
    Some(DocRef::Text(cursor.text()?))
}

fn last_doc_ref(cursor: &mut Cursor<'_>, known: &mut InboundState) -> Option<DocId> {
    let doc = doc_ref(cursor)?.by_value(known)?;
    cursor.end()?;
    Some(doc)
}

/// `None` if it is not as expected, `Some(None)` if it is absent.
#[inline(always)]
fn reciprocate(cursor: &mut Cursor<'_>) -> Option<Option<bool>> {
    if cursor.eat(b"\x61r") {
        cursor.boolean().map(Some)
    } else {
        Some(None)
    }
}

fn establish(cursor: &mut Cursor<'_>, keys: u8) -> Option<Establish> {
    cursor.eat(b"\x62id").then_some(())?;
    let peer_id = PeerId::new(cursor.text()?).ok()?;
    let name = if cursor.eat(b"\x61n") {
        Some(Name::new(cursor.text()?).ok()?)
    } else {
        None
    };
    cursor.eat(b"\x61y").then_some(())?;
    let peer_type = PeerType::from_name(cursor.text()?)?;
    let features = if cursor.eat(b"\x61f") {
        Some(features(cursor)?)
    } else {
        None
    };
    // `general` reads the version and what an observer wants: few write them, and only once per connection.
    let expected = 3 + u8::from(name.is_some()) + u8::from(features.is_some());
    (keys == expected).then_some(())?;
    cursor.end()?;
    let identity = Identity {
        peer_id,
        name,
        peer_type,
    };
    Some(Establish {
        identity,
        features,
        protocol: ProtocolVersion::default(),
        observe: None,
    })
}

fn features(cursor: &mut Cursor<'_>) -> Option<Features> {
    let keys = cursor.byte()?.checked_sub(0xa0)?;
    let mut flag = |key| {
        if cursor.eat(key) {
            cursor.boolean().map(Some)
        } else {
            Some(None)
        }
    };
    let (alias, streamed, datagram) = (flag(b"\x61a")?, flag(b"\x61s")?, flag(b"\x61d")?);
    let expected = [alias, streamed, datagram].iter().flatten().count();
    (usize::from(keys) == expected).then_some(())?;
    Some(Features {
        alias,
        streamed,
        datagram,
    })
}

fn present<'a>(cursor: &mut Cursor<'a>, limits: &DecodeLimits) -> Option<RawPresent<'a>> {
    cursor.eat(b"\x64docs").then_some(())?;
    let len = cursor.array()?;
    let mut raw = RawPresent::default();
    for _ in 0..len {
        raw.has_room(limits).then_some(())?;
        let entry = entry(cursor, &mut raw, limits)?;
        raw.entries.push(entry);
    }
    cursor.end()?;
    Some(raw)
}

fn entry<'a>(
    cursor: &mut Cursor<'a>,
    raw: &mut RawPresent<'a>,
    limits: &DecodeLimits,
) -> Option<RawEntry<'a>> {
    let keys = cursor.byte()?.checked_sub(0xa0)?;
    cursor.eat(b"\x61d").then_some(())?;
    let doc = cursor.text()?;
    let alias = if cursor.eat(b"\x61a") {
        Some(cursor.number()?)
    } else {
        None
    };
    cursor.eat(b"\x62rt\x83").then_some(())?;
    let name = cursor.text()?;
    let replica = raw.replica(name, cursor.number()?, cursor.number()?).ok()?;
    let [mode_key @ .., mode] = *cursor.chunk::<4>()?;
    let mode = match mode {
        0 => SyncMode::Collaborative,
        1 => SyncMode::Authoritative,
        2 => SyncMode::Ephemeral,
        _ => return None,
    };
    (mode_key == *b"\x62ms").then_some(())?;
    let mut expected = 4 + u8::from(alias.is_some());
    let schema = if cursor.eat(b"\x62sh") {
        let hash = cursor.text()?;
        let alias = if cursor.eat(b"\x62sa") {
            Some(cursor.number()?)
        } else {
            None
        };
        expected += u8::from(alias.is_some());
        RawSchema::Text { hash, alias }
    } else {
        cursor.eat(b"\x63shx").then_some(())?;
        RawSchema::Alias(cursor.number()?)
    };
    let supported = if cursor.eat(b"\x63shs") {
        expected += 1;
        let len = cursor.array()?;
        for _ in 0..len {
            raw.has_room(limits).then_some(())?;
            raw.hashes.push(cursor.text()?);
        }
        Some(len)
    } else {
        None
    };
    (keys == expected).then_some(())?;
    Some(RawEntry {
        doc,
        alias,
        replica,
        mode,
        schema,
        supported,
    })
}
