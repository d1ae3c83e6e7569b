//! `wire schema`: schemas to their hashes and identities.
//!
//! In: a schema a line, as in tests/vectors/exchange-schema.json. Out: for each, what both releases make of it, or
//! why it cannot be.

use std::{fmt::Display, str};

use kyneta_uds::WireVersion;
use kyneta_uds_schema::Schema;
use serde::Serialize;

use super::json_lines::each_text;
use crate::{failure::Failure, json::JsonError};

/// Bytes of JSON that are read of a line, over a sixth of which a frame would.
const MAX_SCHEMA: u32 = 1 << 20;

/// Lines of schemas to lines of `{"v1", "v2", ...}` or `{"error"}`.
pub(crate) fn schema() -> Result<(), Failure> {
    let answer = |line: &[u8], out: &mut Vec<u8>| {
        let text = str::from_utf8(line).map_err(told)?;
        let schema = Schema::parse(text).map_err(told)?;
        serde_json::to_writer(out, &Answer::of(&schema)).map_err(told)
    };
    each_text(MAX_SCHEMA, answer, |error| error.to_string())
}

fn told(error: impl Display) -> JsonError {
    JsonError::new(error.to_string())
}

#[derive(Serialize)]
struct Answer {
    v1: Option<String>,
    v2: Option<String>,
    supported1: Option<Vec<String>>,
    supported2: Option<Vec<String>>,
    identities: Vec<(String, String)>,
}

impl Answer {
    fn of(schema: &Schema) -> Self {
        let hash = |wire| schema.hash(wire).map(|hash| hash.to_string());
        let supported = |wire| {
            let hashes = schema.supported_hashes(wire)?;
            Some(hashes.iter().map(ToString::to_string).collect())
        };
        let identities = schema.identities();
        let owned = |(path, identity): (&str, &str)| (path.to_owned(), identity.to_owned());
        Self {
            v1: hash(WireVersion::V2),
            v2: hash(WireVersion::V3),
            supported1: supported(WireVersion::V2),
            supported2: supported(WireVersion::V3),
            identities: identities.iter().map(owned).collect(),
        }
    }
}
