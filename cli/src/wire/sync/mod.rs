//! `wire sync`: what happens to a peer's documents to what the peer does.
//!
//! In: a walk a line, as in tests/vectors/exchange-sync.json. Out: for each, the effects of each of its steps.

mod effects;
mod steps;

use std::collections::HashSet;

use kyneta_uds::{DocId, Identity, PeerId, WireVersion};
use kyneta_uds_sync::program::{Gates, Program};

use self::effects::Line;
use super::json_lines::each_line;
use crate::{
    failure::Failure,
    json::{Fields, Json, JsonError, bounded, list},
};

/// Bytes of JSON that a walk may have, over a sixth of which a frame would.
const MAX_WALK: u32 = 64 << 20;

/// Lines of `{"wire", "steps"}` to lines of `[[effect, ...], ...]`.
pub(crate) fn sync() -> Result<(), Failure> {
    each_line(MAX_WALK, |json, out| {
        let mut fields = Fields::of(json)?;
        // What else stands in a vector.
        for name in ["kind", "seed", "end"] {
            fields.optional(name, |_| Ok(()))?;
        }
        let wire = fields.optional("wire", steps::wire)?;
        let denied = Denied {
            share: fields.optional("denyShare", pairs)?.unwrap_or_default(),
            accept: fields.optional("denyAccept", pairs)?.unwrap_or_default(),
        };
        let mut walk = Walk {
            wire: wire.unwrap_or(WireVersion::V3),
            denied,
            program: Program::default(),
        };
        let steps = fields.required("steps", |steps| walk.steps(steps))?;
        fields.finish()?;
        serde_json::to_writer(out, &steps).map_err(|error| JsonError::new(error.to_string()))
    })
}

struct Walk {
    wire: WireVersion,
    denied: Denied,
    program: Program,
}

impl Walk {
    fn steps(&mut self, steps: &Json<'_>) -> Result<Vec<Vec<Line>>, JsonError> {
        list(steps, |step| {
            let mut effects = Vec::new();
            self.program
                .apply(steps::input(step)?, &self.denied, &mut effects);
            let lines = effects.into_iter();
            Ok(lines
                .filter_map(|effect| Line::of(effect, self.wire))
                .collect())
        })
    }
}

/// The pairs of a document and a peer for which a gate says no.
struct Denied {
    share: HashSet<(DocId, PeerId)>,
    accept: HashSet<(DocId, PeerId)>,
}

impl Gates for Denied {
    fn can_share(&self, doc: &DocId, peer: &Identity) -> bool {
        !self.share.contains(&(doc.clone(), peer.peer_id.clone()))
    }

    fn can_accept(&self, doc: &DocId, peer: &Identity) -> bool {
        !self.accept.contains(&(doc.clone(), peer.peer_id.clone()))
    }
}

fn pairs(json: &Json<'_>) -> Result<HashSet<(DocId, PeerId)>, JsonError> {
    let pair = |json: &Json<'_>| match json {
        Json::List(pair) => match pair.as_slice() {
            [doc, peer] => Ok((bounded(doc)?, bounded(peer)?)),
            _ => Err(JsonError::new("expected [document, peer]")),
        },
        _ => Err(JsonError::new("expected [document, peer]")),
    };
    Ok(list(json, pair)?.into_iter().collect())
}
