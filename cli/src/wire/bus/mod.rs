//! `wire bus`: the events of a member of a bus, or of its hub, to their effects.
//!
//! In: a walk a line, as in tests/vectors/bus.json. Out: for each, the effects of each of its steps.

mod read;
mod write;

use kyneta_uds_bus::{Hub, Member, MemberConfig, MemberEffect};
use serde_json::Value;

use super::json_lines::each_line;
use crate::{
    failure::Failure,
    json::{Fields, Json, JsonError, boolean, list, text},
};

/// Bytes of JSON that a walk may have, over a sixth of which a frame would.
const MAX_WALK: u32 = 64 << 20;

/// Lines of `{"kind", "me", "newest", "steps"}` to lines of `[[effect, ...], ...]`.
pub(crate) fn bus() -> Result<(), Failure> {
    each_line(MAX_WALK, |json, out| {
        let mut fields = Fields::of(json)?;
        // What else stands in a vector.
        fields.optional("name", text)?;
        fields.optional("state", |_| Ok(()))?;
        let kind = fields.required("kind", text)?;
        let me = fields.required("me", read::id)?;
        let newest = fields.optional("newest", boolean)?.unwrap_or_default();
        let mut walk = match kind {
            "member" => {
                let config = MemberConfig::default().slow(read::slow(newest));
                Walk::Member(Box::new(Member::new(me, config)))
            }
            "hub" => Walk::Hub(Hub::new(me)),
            other => {
                let why = format!("{other:?} is none of member, hub");
                return Err(JsonError::new(why).under("kind"));
            }
        };
        let steps = fields.required("steps", |steps| walk.steps(steps))?;
        fields.finish()?;
        serde_json::to_writer(out, &steps).map_err(|error| JsonError::new(error.to_string()))
    })
}

/// A machine that is walked. The vectors leave bodies out.
enum Walk {
    Member(Box<Member<()>>),
    Hub(Hub),
}

impl Walk {
    fn steps(&mut self, steps: &Json<'_>) -> Result<Vec<Vec<Value>>, JsonError> {
        list(steps, |step| self.step(step))
    }

    fn step(&mut self, step: &Json<'_>) -> Result<Vec<Value>, JsonError> {
        let mut fields = Fields::of(step)?;
        // Those of a vector are not looked at.
        fields.optional("effects", |_| Ok(()))?;
        fields.optional("refused", boolean)?;
        let effects = fields.required("event", |event| match self {
            Self::Member(member) => member_step(member, event),
            Self::Hub(hub) => hub_step(hub, event),
        })?;
        fields.finish()?;
        Ok(effects)
    }
}

fn member_step(member: &mut Member<()>, event: &Json<'_>) -> Result<Vec<Value>, JsonError> {
    let mut effects = Vec::new();
    match read::member_event(event)? {
        // A refusal has no effect; the vector says so beside the event.
        read::MemberStep::Accept(to) => drop(member.accept(to, (), 0, &mut effects)),
        read::MemberStep::Event(event) => member.handle(event, &mut effects),
    }
    let mut lines = Vec::new();
    for effect in effects {
        match effect {
            MemberEffect::SendCopies(mut copies) => {
                let frames = std::iter::from_fn(|| member.next_copy(&mut copies));
                lines.extend(frames.map(|frame| write::member_effect(&MemberEffect::Send(frame))));
            }
            MemberEffect::Resolved { numbers, left } => {
                let numbers = numbers.start().0..=numbers.end().0;
                lines.extend(numbers.map(|n| write::resolved(n, &left)));
            }
            other => lines.push(write::member_effect(&other)),
        }
    }
    Ok(lines)
}

fn hub_step(hub: &mut Hub, event: &Json<'_>) -> Result<Vec<Value>, JsonError> {
    let mut effects = Vec::new();
    hub.handle(read::hub_event(event)?, &mut effects);
    Ok(effects.iter().filter_map(write::hub_effect).collect())
}
