//! A codec that goes on with the aliases of another one, message by message beside one that was never saved. A
//! failure shows the message at which the two part.

use bytes::Bytes;
use kyneta_uds_core::{
    ChannelMsg, DocEntry, DocId, Establish, Features, Identity, Payload, ReplicaType, SchemaHash,
    WriteBuf,
};

use super::*;
use crate::Codec as _;

fn sent(codec: &mut ChannelCodec, msg: &ChannelMsg) -> Bytes {
    let mut buf = WriteBuf::default();
    codec.encode(msg, &mut buf.writer()).unwrap();
    Bytes::copy_from_slice(buf.front())
}

fn received(codec: &mut ChannelCodec, bytes: &Bytes) -> ChannelMsg {
    codec.decode(Payload::new(bytes, 0..bytes.len())).unwrap()
}

fn present(doc: &str) -> ChannelMsg {
    let entry = DocEntry::new(
        DocId::new(doc).unwrap(),
        ReplicaType::new("loro", 1.0, 0.0).unwrap(),
        SchemaHash::new(format!("schema of {doc}")).unwrap(),
    );
    ChannelMsg::Present(vec![entry])
}

fn dismiss(doc: &str) -> ChannelMsg {
    ChannelMsg::Dismiss(DocId::new(doc).unwrap())
}

#[test]
fn a_codec_that_goes_on_writes_the_bytes_and_reads_the_messages_that_the_former_one_would_have() {
    let (mut ours, mut theirs) = (ChannelCodec::new(), ChannelCodec::new());
    let identity = Identity::service("a").unwrap();
    let hello = ChannelMsg::from(Establish::new(identity).features(Features::aliasing()));
    for (from, to) in [(true, false), (false, true)] {
        let (from, to) = if from && !to {
            (&mut ours, &mut theirs)
        } else {
            (&mut theirs, &mut ours)
        };
        let bytes = sent(from, &hello);
        received(to, &bytes);
    }
    for n in 0..30 {
        let bytes = sent(&mut ours, &present(&format!("ours {n}")));
        received(&mut theirs, &bytes);
        let bytes = sent(&mut theirs, &present(&format!("theirs {n}")));
        received(&mut ours, &bytes);
    }
    let saved = Saved::decode(&SaveCodec::save(&ours).encode()).unwrap();
    let mut next = ChannelCodec::new().resume(&saved).unwrap();
    assert_eq!(SaveCodec::save(&next), saved);
    let messages = [
        dismiss("ours 7"),
        present("ours 7"),
        present("new"),
        dismiss("new"),
        dismiss("ours 29"),
    ];
    for msg in messages {
        let bytes = sent(&mut next, &msg);
        assert_eq!(bytes, sent(&mut ours, &msg), "{msg:?}");
        assert_eq!(received(&mut theirs, &bytes), msg);
    }
    for msg in [
        dismiss("theirs 3"),
        present("theirs 9"),
        present("other"),
        dismiss("other"),
    ] {
        let bytes = sent(&mut theirs, &msg);
        assert_eq!(received(&mut next, &bytes), msg);
    }
}

#[test]
fn aliases_of_a_peer_that_counts_in_its_own_way_are_kept() {
    let mut aliases = InboundAliases::<DocId>::default();
    let limits = super::super::DecodeLimits::default();
    let long = "x".repeat(DocId::MAX + 1);
    for (alias, text) in [
        (0.0, "a"),
        (1.0, long.as_str()),
        (-3.5, "b"),
        (f64::NAN, "c"),
        (9.0, "d"),
    ] {
        let _ = aliases.record(alias, text, &limits).unwrap();
    }
    let restored = InboundAliases::<DocId>::restore(&aliases.save()).unwrap();
    for alias in [0.0, 1.0, -3.5, f64::NAN, 9.0, 2.0] {
        let text = |aliases: &InboundAliases<DocId>| {
            aliases.resolve(alias).map(|meaning| {
                meaning
                    .clone()
                    .into_text()
                    .map_err(|fault| fault.to_string())
            })
        };
        assert_eq!(text(&restored), text(&aliases), "{alias}");
    }
    assert_eq!(restored.save(), aliases.save());
}

#[test]
fn a_state_of_another_version_or_without_a_field_is_refused_with_a_sentence() {
    let table = [
        (
            Saved::new(2, 2),
            "the saved state of the aliases has version 2, for readers from version 2 on; this is version 1",
        ),
        (
            Saved::new(1, 1),
            "a saved state has no field `we-accept-aliases` that is a flag",
        ),
    ];
    for (saved, sentence) in table {
        assert_eq!(
            ChannelCodec::new().resume(&saved).unwrap_err().to_string(),
            sentence
        );
    }
}
