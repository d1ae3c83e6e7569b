//! Holds it against ciborium.
//!
//! Values of every kind that serde knows, written by ciborium and here. A failure shows the value, or the bits of a number.

use std::{collections::BTreeMap, fmt::Debug};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_bytes::ByteBuf;

use super::*;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Event {
    Opened,
    Sold {
        item: String,
        count: u32,
        price: Option<f64>,
    },
    Moved(i64, i8),
    Named(String),
    Nested(Vec<Event>),
    Data(#[serde(with = "serde_bytes")] Vec<u8>),
    Table(BTreeMap<String, (bool, char, ())>),
}

fn written<M: Serialize>(message: &M) -> Vec<u8> {
    let mut data = Vec::new();
    ciborium::into_writer(message, &mut data).unwrap();
    data
}

fn by_ciborium<M: DeserializeOwned>(data: &[u8]) -> Option<M> {
    let mut rest = data;
    let message = ciborium::from_reader(&mut rest).ok()?;
    rest.is_empty().then_some(message)
}

fn events() -> Vec<Event> {
    let all = vec![
        Event::Opened,
        Event::Sold {
            item: "pen".into(),
            count: 70_000,
            price: Some(1.1),
        },
        Event::Sold {
            item: "x".repeat(300),
            count: 23,
            price: None,
        },
        Event::Moved(i64::MIN, -1),
        Event::Moved(i64::MAX, 127),
        Event::Named("\u{1f980}".into()),
        Event::Data(vec![7; 5000]),
        Event::Table([("a".to_owned(), (true, '\u{e9}', ()))].into()),
    ];
    all.iter()
        .cloned()
        .chain([Event::Nested(all.clone())])
        .collect()
}

#[test]
fn what_ciborium_writes_is_usual() {
    fn is_read<M: Serialize + DeserializeOwned + PartialEq + Debug>(message: M) {
        assert_eq!(read(&written(&message)), Some(message));
    }
    events().into_iter().for_each(is_read);
    is_read(ByteBuf::from(*b"abc"));
    is_read("text".to_owned());
    is_read((1_u8, -1_i8, u64::MAX, 0.5_f32, true, Some(3_u8), 'c'));
    is_read(serde_json::json!({"a": [1, -2, 2.5, null, true, "x"], "b": {}}));
    is_read(vec![Some(1_u16), None]);
}

#[test]
fn what_is_written_here_is_what_ciborium_writes() {
    fn agree<M: Serialize + ?Sized>(message: &M) {
        let mut block = BytesMut::from(&b"before"[..]);
        write(&message, &mut block).unwrap();
        assert_eq!(block[6..], written(&message));
    }
    #[derive(Serialize)]
    struct Unit;
    #[derive(Serialize)]
    struct Pair(i16, Option<u32>);
    #[derive(Serialize)]
    struct Named {
        pair: Pair,
        unit: Unit,
        #[serde(flatten)]
        more: BTreeMap<String, i64>,
    }
    events().iter().for_each(agree);
    for size in [0, 23, 24, 255, 256, 65_535, 65_536] {
        agree("x".repeat(size).as_str());
        agree(&ByteBuf::from(vec![7; size]));
        agree(&vec![size; size.min(300)]);
    }
    for value in (0..64).map(|bit| 1_u64 << bit).chain([0, u64::MAX]) {
        let around = [value.wrapping_sub(1), value, value.wrapping_add(1)];
        for value in around {
            agree(&(value, value as i64, !value as i64, value as i32));
            agree(&(value as u8, value as i8, value as u16, value as i16));
            agree(&(u128::from(value) << 3, -(i128::from(value) << 3)));
            agree(&(f64::from_bits(value), f32::from_bits(value as u32)));
            agree(&(value as f64, value as f32));
        }
    }
    agree(&(true, false, 'c', '\u{1f980}', (), Unit, None::<u8>));
    agree(&Named {
        pair: Pair(-7, Some(9)),
        unit: Unit,
        more: [("z".to_owned(), -1)].into(),
    });
    agree(&serde_json::json!({"a": [1, -2, 2.5, null, true, "x"], "b": {}}));
    // As ciborium has them, tags are enums.
    agree(&ciborium::tag::Required::<_, 7>("tagged"));
    agree(&[ciborium::Value::Tag(
        7,
        Box::new(ciborium::Value::Float(0.5)),
    )]);
}

#[test]
fn a_message_that_cannot_be_written_says_why() {
    struct Fails;

    impl Serialize for Fails {
        fn serialize<S: ser::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(ser::Error::custom("no price"))
        }
    }

    let error = write(&("first", Fails), &mut BytesMut::new());
    assert_eq!(error, Err(NotWritten::Failed("no price".into())));
}

#[test]
fn what_is_read_here_is_what_ciborium_reads() {
    fn agree<M: DeserializeOwned + Debug>(data: &[u8]) -> bool {
        let Some(message) = read::<M>(data) else {
            return false;
        };
        // As texts: what is no number equals nothing.
        let (ours, theirs) = (Some(message), by_ciborium::<M>(data));
        assert_eq!(format!("{ours:?}"), format!("{theirs:?}"), "{data:02x?}");
        true
    }
    let mut read = 0;
    // Each byte changed in some ways, each end cut off, and the wrong types.
    for event in events() {
        let data = written(&event);
        for at in 0..data.len().min(200) {
            agree::<Event>(&data[..at]);
            for change in [1, 0x20, 0x40, 0x80, 0xff] {
                let mut changed = data.clone();
                changed[at] ^= change;
                read += usize::from(agree::<Event>(&changed));
                read += usize::from(agree::<serde_json::Value>(&changed));
                agree::<(u8, String)>(&changed);
                agree::<BTreeMap<String, Vec<i32>>>(&changed);
                agree::<Option<ByteBuf>>(&changed);
            }
        }
    }
    assert!(read > 300, "{read} were read");
}

#[test]
fn each_float_of_16_bits_is_what_ciborium_reads() {
    for bits in 0..=u16::MAX {
        let [high, low] = bits.to_be_bytes();
        let data = [0xf9, high, low];
        match read::<f64>(&data) {
            Some(value) => assert_eq!(Some(value), by_ciborium(&data), "{bits:x}"),
            None => assert!(by_ciborium::<f64>(&data).unwrap().is_nan(), "{bits:x}"),
        }
    }
}

#[test]
fn nesting_has_a_bound() {
    let deep = |depth: usize| [vec![0x81; depth], vec![0xf6]].concat();
    assert!(read::<serde_json::Value>(&deep(127)).is_some());
    assert!(read::<serde_json::Value>(&deep(1_000_000)).is_none());
}

#[test]
fn large_bytes_are_a_part_of_what_was_read() {
    let written = |message: &[u8]| {
        let mut data = Vec::new();
        ciborium::into_writer(serde_bytes::Bytes::new(message), &mut data).unwrap();
        Bytes::from(data)
    };
    let large = Bytes::from(vec![7; LARGE]);
    let whole = written(&large);
    let found: Bytes = part(&whole, &whole).unwrap();
    assert_eq!(found, large);
    assert!(whole.as_ptr_range().contains(&found.as_ptr()));
    assert_eq!(part::<String>(&whole, &whole), None);
    let cut = whole.slice(..whole.len() - 1);
    assert_eq!(part::<Bytes>(&cut, &cut), None);
    let small = written(b"small");
    assert_eq!(part::<Bytes>(&small, &small), None);
}
