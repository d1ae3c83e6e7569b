//! Target `offers`: plain JSON and ephemeral replicas take any offers. What they hold stays within its bounds, an
//! offer that is refused changes nothing, and what they send is read by another replica.
//!
//! Input: lines; the first byte of each says which kind of offer it is, the rest is its text.

use kyneta_uds_core::{ByteString, DocId, Offer, PayloadKind, Version, WireVersion};
use kyneta_uds_exchange::{
    EphemeralReplica, Imported, Json, Object, PlainLimits, PlainReplica, Replica, Take,
};
use kyneta_uds_schema::{DocVersion, Schema, VersionOrder};

const MAX_BYTES: usize = 2_048;
const MAX_LOG_BYTES: usize = 1_024;

pub fn offers(data: &[u8]) {
    let schema = Schema::structure([
        ("s", Schema::string()),
        ("t", Schema::text()),
        ("l", Schema::list(Schema::any())),
        ("r", Schema::record(Schema::counter())),
        ("rt", Schema::rich_text::<String>([]).unwrap()),
    ])
    .unwrap();
    let mut limits = PlainLimits::default();
    limits.max_bytes = MAX_BYTES;
    limits.max_log_bytes = MAX_LOG_BYTES;
    let mut opened = PlainReplica::open(schema).unwrap().limits(limits);
    let mut headless = PlainReplica::headless().limits(limits);
    let mut ephemeral = EphemeralReplica::headless().max_bytes(MAX_BYTES);
    for line in data.split(|&byte| byte == b'\n') {
        let Some((&how, text)) = line.split_first() else {
            continue;
        };
        let text = String::from_utf8_lossy(text).into_owned();
        take(&mut opened, how, &text, PlainReplica::value);
        take(&mut headless, how, &text, PlainReplica::value);
        take(&mut ephemeral, how, &text, EphemeralReplica::value);
        assert!(opened.log_bytes() <= MAX_LOG_BYTES && headless.log_bytes() <= MAX_LOG_BYTES);
    }
}

fn take<R: Replica>(replica: &mut R, how: u8, text: &str, value: fn(&R) -> &Object) {
    let wire = if how & 1 == 0 {
        WireVersion::V3
    } else {
        WireVersion::V2
    };
    let how_taken = if how & 2 == 0 {
        Take::Merge
    } else {
        Take::Replace
    };
    let ahead = u64::from(how >> 4);
    let version = match replica.version(wire) {
        DocVersion::Plain(version) => match version.lineage() {
            Some(_) => format!("aa:{}", version.count() + ahead),
            None => (version.count() + ahead).to_string(),
        },
        DocVersion::Ephemeral(version) => (version.ms() + ahead).to_string(),
        other => unreachable!("{other:?}"),
    };
    let (doc, version) = (DocId::new("d").unwrap(), Version::new(version).unwrap());
    let mut offer = Offer::json(doc, version, ByteString::from(text.to_owned()));
    if how & 4 == 0 {
        offer.kind = PayloadKind::Since;
    }
    let before = (value(replica).clone(), replica.version(wire));
    match replica.import(&offer, wire, how_taken) {
        Ok(Imported::All { .. }) => {
            // A whole document takes its version along, the others count on.
            let order = before.1.compare(&replica.version(wire));
            let counted = offer.kind == PayloadKind::Since;
            assert!(!counted || matches!(order, VersionOrder::Equal | VersionOrder::Behind));
        }
        Ok(Imported::Gap) | Err(_) => {
            assert_eq!(
                (value(replica), replica.version(wire)),
                (&before.0, before.1.clone())
            );
        }
    }
    let json = Json::Object(value(replica).clone());
    let (text, again) = (json.to_string(), Json::parse(&json.to_string()).unwrap());
    assert!(text.len() <= MAX_BYTES, "{text}");
    // Unequal where a sum is no finite number any more, which is written as null.
    assert_eq!(again.to_string(), text);
    assert!(!holds_proto(&json));
    let payload = replica.export(Some(&before.1), wire);
    assert!(payload.is_none_or(|payload| payload.data.len() <= MAX_BYTES.max(2 * MAX_LOG_BYTES)));
}

fn holds_proto(json: &Json) -> bool {
    match json {
        Json::Array(items) => items.iter().any(holds_proto),
        Json::Object(object) => object
            .iter()
            .any(|(key, value)| key == "__proto__" || holds_proto(value)),
        _ => false,
    }
}
