//! What every store does, and what the one in a file does with files that it cannot use.
//!
//! A failure shows what both stores hold, or the error.

#![cfg(feature = "redb")]
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt as _};

use kyneta_uds_core::{Chain, DocId, Lineage, Offer, SchemaHash, Version};
use kyneta_uds_schema::Substrate;
use kyneta_uds_store::{Head, MemoryStore, Redb, Store, StoreError, Stored, Write};

fn id(doc: &str) -> DocId {
    DocId::new(doc).unwrap()
}

fn all(doc: &str, text: &str) -> Offer {
    Offer::json(id(doc), Version::new("aa:1").unwrap(), text)
}

fn replace(doc: &str, text: &str) -> Write {
    Write::Replace {
        head: Head::new(Substrate::Plain),
        offer: all(doc, text),
    }
}

fn append(doc: &str, text: &str) -> Write {
    Write::Append {
        offer: all(doc, text).delta(),
    }
}

fn by_id(stored: Vec<Stored>) -> BTreeMap<String, Stored> {
    let named = stored.into_iter().map(|stored| {
        let doc = stored.offers.first().unwrap().doc.to_string();
        (doc, stored)
    });
    named.collect()
}

#[test]
fn both_stores_hold_the_same_after_the_same_writes_and_after_each_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let mut memory = MemoryStore::new();
    let numbered = {
        let mut head = Head::new(Substrate::Loro);
        head.number = Some(7);
        head
    };
    let batches = [
        vec![
            replace("a", "1"),
            append("a", "2"),
            replace("ab", "x"),
            replace("b", ""),
        ],
        vec![append("a", "3"), Write::Delete { doc: id("b") }],
        vec![
            Write::Head {
                doc: id("ab"),
                head: numbered.clone(),
            },
            Write::Head {
                doc: id("none"),
                head: numbered,
            },
            append("ab", "y"),
        ],
        vec![
            replace("a", "all"),
            append("a", "4"),
            Write::Delete { doc: id("none") },
        ],
        vec![Write::Delete { doc: id("a") }, replace("a", "new")],
    ];
    for batch in batches {
        let mut file = Redb::open(dir.path()).unwrap();
        file.write(&batch).unwrap();
        memory.write(&batch).unwrap();
        drop(file);
        let mut file = Redb::open(dir.path()).unwrap();
        assert_eq!(by_id(file.load().unwrap()), by_id(memory.load().unwrap()));
    }
    let held = by_id(memory.load().unwrap());
    assert_eq!(held["a"].offers, [all("a", "new")]);
    assert_eq!(held["ab"].offers.len(), 2);
}

#[test]
fn a_batch_that_cannot_be_made_leaves_all_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let stores: [Box<dyn Store>; 2] = [
        Box::new(Redb::open(dir.path()).unwrap()),
        Box::new(MemoryStore::new()),
    ];
    for mut store in stores {
        store.write(&[replace("a", "1")]).unwrap();
        let error = store.write(&[replace("a", "2"), append("none", "3")]);
        assert!(
            matches!(error, Err(StoreError::Damaged { .. })),
            "{error:?}"
        );
        assert_eq!(by_id(store.load().unwrap())["a"].offers, [all("a", "1")]);
    }
}

#[test]
fn the_file_is_for_its_user_alone_even_if_it_was_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new/exchange");
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let file = Redb::open(&path).unwrap().path().to_owned();
    assert_eq!((mode(&path), mode(&file)), (0o700, 0o600));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    Redb::open(&path).unwrap();
    assert_eq!(mode(&file), 0o600);
}

#[test]
fn what_cannot_be_opened_says_why_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let error = |name: &str| Redb::open(path(name)).unwrap_err();

    let _open = Redb::open(path("used")).unwrap();
    let used = error("used").to_string();
    assert!(used.contains("documents.redb\" is in use"), "{used}");

    fs::create_dir(path("other")).unwrap();
    fs::write(path("other/documents.redb"), "a text, and no database").unwrap();
    let other = error("other").to_string();
    assert!(other.contains("is no store of documents"), "{other}");

    fs::write(path("file"), "").unwrap();
    let file = error("file");
    assert!(matches!(file, StoreError::Open { .. }));
    let file = Chain(&file).to_string();
    assert!(
        file.ends_with("it is a file, and a store is a directory"),
        "{file}"
    );
}

/// What `tests/format-1.redb` holds. It was written by the first version, and every later one must read it.
fn of_format_1() -> [Write; 4] {
    let mut opened = Head::new(Substrate::Plain);
    opened.is_opened = true;
    opened.schema =
        [Some("01aa"), Some("02bb")].map(|hash| hash.map(|it| SchemaHash::new(it).unwrap()));
    let mut numbered = Head::new(Substrate::Loro);
    numbered.number = Some(7);
    let bytes = Offer::binary(id("kept"), Version::new("AQID").unwrap(), vec![0, 255]);
    [
        Write::Replace {
            head: opened,
            offer: all("config", r#"{"mode":"auto"}"#).lineage(Lineage::new("aa").unwrap()),
        },
        append("config", "[[]]"),
        Write::Replace {
            head: numbered,
            offer: bytes.clone(),
        },
        Write::Append {
            offer: bytes.delta(),
        },
    ]
}

#[test]
fn a_store_of_format_1_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let recorded = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/format-1.redb");
    if std::env::var_os("KYNETA_RECORD").is_some() {
        let mut store = Redb::open(dir.path()).unwrap();
        store.write(&of_format_1()).unwrap();
        let file = store.path().to_owned();
        drop(store);
        // The library gives back what it had taken at first.
        for _ in 0..3 {
            let mut store = Redb::open(dir.path()).unwrap();
            store.write(&[]).unwrap();
        }
        fs::copy(file, recorded).unwrap();
    }
    fs::copy(recorded, dir.path().join("documents.redb")).unwrap();
    let mut expected = MemoryStore::new();
    expected.write(&of_format_1()).unwrap();
    let mut store = Redb::open(dir.path()).unwrap();
    assert_eq!(
        by_id(store.load().unwrap()),
        by_id(expected.load().unwrap())
    );
}

#[test]
fn a_file_that_was_cut_off_or_changed_is_an_error_and_no_panic() {
    let dir = tempfile::tempdir().unwrap();
    let documents: Vec<_> = (0..100)
        .map(|at| replace(&format!("doc-{at}"), &"content ".repeat(100)))
        .collect();
    Redb::open(dir.path()).unwrap().write(&documents).unwrap();
    let file = dir.path().join("documents.redb");
    let whole = fs::read(&file).unwrap();
    let reopened = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        let mut store = Redb::open(dir.path())?;
        store.load()?;
        store.write(&[replace("new", "x")])
    };
    for length in [1, 100, 5_000, whole.len() / 2, whole.len() - 1] {
        let error = reopened(&whole[..length]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("documents.redb"), "{length} bytes: {text}");
    }
    // Some of these bytes are of no page that is in use.
    for turn in 0..100_usize {
        let mut bytes = whole.clone();
        let at = turn * 7_919 % bytes.len();
        bytes[at] ^= 0x55;
        let _ = reopened(&bytes);
    }
    reopened(&whole).unwrap();
}
