//! `wire version`: pairs of versions to their order.
//!
//! In: `{"substrate", "wire", "a", "b"}` a line, as in tests/vectors/exchange-versions.json. Out: for each, how a
//! relates to b and b to a, or why one of them is no version.

use kyneta_uds_schema::{DocVersion, Substrate};
use serde::Serialize;

use super::json_lines::{each_line, wire};
use crate::{
    failure::Failure,
    json::{Fields, Json, JsonError, text},
};

/// Bytes of JSON that a pair may have, over a sixth of which a frame would.
const MAX_PAIR: u32 = 4 << 20;

/// Lines of pairs to lines of `{"order", "reverse"}` or `{"error"}`.
pub(crate) fn version() -> Result<(), Failure> {
    each_line(MAX_PAIR, |json, out| {
        let mut fields = Fields::of(json)?;
        let substrate = fields.required("substrate", substrate)?;
        let wire = fields.required("wire", wire)?;
        let a = DocVersion::parse(substrate, wire, fields.required("a", text)?);
        let b = DocVersion::parse(substrate, wire, fields.required("b", text)?);
        let answer = match (a, b) {
            (Ok(a), Ok(b)) => Answer::Order {
                order: a.compare(&b).name(),
                reverse: b.compare(&a).name(),
            },
            (Err(error), _) | (_, Err(error)) => Answer::Error {
                error: error.to_string(),
            },
        };
        serde_json::to_writer(out, &answer).map_err(|error| JsonError::new(error.to_string()))
    })
}

#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    Order {
        order: &'static str,
        reverse: &'static str,
    },
    Error {
        error: String,
    },
}

fn substrate(json: &Json<'_>) -> Result<Substrate, JsonError> {
    Ok(match text(json)? {
        "loro" => Substrate::Loro,
        "yjs" => Substrate::Yjs,
        "plain" => Substrate::Plain,
        "timestamp" => Substrate::Ephemeral,
        "state" => Substrate::State,
        other => {
            let why = format!("{other:?} is none of loro, yjs, plain, timestamp, state");
            return Err(JsonError::new(why));
        }
    })
}
