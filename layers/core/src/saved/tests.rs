//! Saved values: equal ones have equal bytes, and no byte that another process sends does harm. A failure shows the
//! bytes, or where they were cut.

use super::*;

fn example() -> Saved {
    let part = Saved::new(3, 2).with(
        "alias",
        vec![SavedValue::from("doc"), SavedValue::from(1_u64)],
    );
    Saved::new(1, 1)
        .with("seq", u64::MAX)
        .with("small", 23_u64)
        .with("two", 24_u64)
        .with("four", 0x1_0000_u64)
        .with("on", true)
        .with("off", false)
        .with("bytes", vec![0_u8; 300])
        .with("text", "ä")
        .with("part", part)
}

#[test]
fn a_value_is_read_as_it_was_saved_and_equal_values_have_equal_bytes() {
    let bytes = example().encode();
    assert_eq!(Saved::decode(&bytes).unwrap(), example());
    assert_eq!(Saved::decode(&bytes).unwrap().encode(), bytes);
}

#[test]
fn no_cut_and_no_changed_byte_panics_and_a_cut_is_an_error() {
    let bytes = example().encode();
    for cut in 0..bytes.len() {
        assert!(Saved::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        for with in [0x00, 0x1b, 0x5b, 0x9b, 0xbb, 0xff] {
            let mut changed = bytes.clone();
            changed[cut] = with;
            let _ = Saved::decode(&changed); // whatever it is, it is an answer
        }
    }
}

#[test]
fn what_is_no_saved_value_is_refused_with_a_sentence() {
    let map = |fields: &[&[u8]]| {
        let mut bytes = vec![0xa0 | fields.len() as u8];
        fields
            .iter()
            .for_each(|field| bytes.extend_from_slice(field));
        bytes
    };
    let (version, lowest) = (b"\x67version\x01".as_slice(), b"\x66lowest\x01".as_slice());
    let mut behind = map(&[version, lowest]);
    behind.push(0);
    let mut deep = map(&[version, lowest, b"\x61a"]);
    deep.extend([0x81; 20]);
    let table: [(Vec<u8>, &str); 9] = [
        (vec![0x01], "no map"),
        (map(&[version]), "a map without a version"),
        (
            map(&[version, version, lowest]),
            "a field that is there twice",
        ),
        (
            map(&[version, lowest, b"\x61a\x01", b"\x61a\x01"]),
            "a field that is there twice",
        ),
        (map(&[b"\x67version\x61a"]), "a version that is no number"),
        (map(&[b"\x01\x01"]), "a key that is no text"),
        (
            map(&[version, lowest, b"\x61a\xfb"]),
            "an item of another type",
        ),
        (behind, "bytes behind its end"),
        (deep, "lists and parts that nest too deep"),
    ];
    for (bytes, expected) in table {
        match Saved::decode(&bytes) {
            Err(SavedError::Unreadable { why, .. }) => assert_eq!(why, expected, "{bytes:02x?}"),
            other => panic!("{other:?} of {bytes:02x?}, not {expected}"),
        }
    }
}

#[test]
fn a_claimed_length_allocates_nothing() {
    let claims = b"\xa3\x67version\x01\x66lowest\x01\x61a\x9b\x00\x00\x7f\xff\xff\xff\xff\xff";
    let error = Saved::decode(claims).unwrap_err();
    assert!(
        error.to_string().contains("a length beyond its end"),
        "{error}"
    );
}

#[test]
fn a_reader_uses_what_it_may() {
    let table = [
        ((1, 1), 1..=1, true),
        ((2, 1), 1..=1, true), // later, and readable
        ((2, 2), 1..=1, false),
        ((1, 1), 1..=2, true),  // a roll-forward
        ((1, 1), 2..=2, false), // forgotten
    ];
    for ((version, lowest), reads, may) in table {
        let checked = Saved::new(version, lowest).check("framing", reads.clone());
        assert_eq!(checked.is_ok(), may, "{version} {lowest} {reads:?}");
    }
}

#[test]
fn a_missing_field_and_one_of_another_type_are_errors() {
    let saved = example();
    let error = saved.number("text").unwrap_err();
    assert_eq!(
        error.to_string(),
        "a saved state has no field `text` that is a number"
    );
    assert!(saved.part("nowhere").is_err());
    assert_eq!(saved.part("part").unwrap().list("alias").unwrap().len(), 2);
    assert_eq!(Saved::new(1, 1).with("version", 9_u64), Saved::new(1, 1));
}
