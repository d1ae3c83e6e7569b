//! `wire relay`: the events of a hub to its effects.
//!
//! In: a walk a line, as in tests/vectors/relay.json. Out: for each, the effects of each of its steps.

use std::collections::HashMap;

use kyneta_uds::{ChannelMsg, DocId, SchemaHash};
use kyneta_uds_relay::{Effect, MemberFacts, MemberKey, Switch, SwitchConfig};
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::json_lines::{each_line, wire};
use crate::{
    failure::Failure,
    json::{Fields, Json, JsonError, LinkedMsg, boolean, bounded, linked_message, list, text},
};

/// Bytes of JSON that a walk may have, over a sixth of which a frame would.
const MAX_WALK: u32 = 64 << 20;

/// Lines of `{"config", "steps"}` to lines of `[[effect, ...], ...]`.
pub(crate) fn relay() -> Result<(), Failure> {
    each_line(MAX_WALK, |json, out| {
        let mut fields = Fields::of(json)?;
        // What else stands in a vector.
        fields.optional("kind", text)?;
        fields.optional("name", text)?;
        let config = fields.optional("config", config)?.unwrap_or_default();
        let mut walk = Walk::new(config);
        let steps = fields.required("steps", |steps| walk.steps(steps))?;
        fields.finish()?;
        serde_json::to_writer(out, &steps).map_err(|error| JsonError::new(error.to_string()))
    })
}

fn config(json: &Json<'_>) -> Result<SwitchConfig, JsonError> {
    let mut fields = Fields::of(json)?;
    let mut config = SwitchConfig::default();
    if let Some(max) = fields.optional("docs", count)? {
        config = config.max_documents(max);
    }
    if let Some(max) = fields.optional("docsPerMember", count)? {
        config = config.max_documents_of_member(max);
    }
    if let Some(max) = fields.optional("asks", count)? {
        config = config.max_asks(max);
    }
    let class = |hashes: &Json<'_>| list(hashes, bounded::<SchemaHash>);
    let classes = fields.optional("equal", |classes| list(classes, class))?;
    fields.finish()?;
    Ok(classes
        .unwrap_or_default()
        .into_iter()
        .fold(config, SwitchConfig::equal_schemas))
}

fn count(json: &Json<'_>) -> Result<usize, JsonError> {
    match json {
        Json::Number(number) if *number >= 0.0 && number.fract() == 0.0 => Ok(*number as usize),
        _ => Err(JsonError::new(format!(
            "expected a count, not {}",
            json.kind()
        ))),
    }
}

/// A hub, and the names of its members.
struct Walk {
    switch: Switch,
    names: Vec<String>,
    keys: HashMap<String, MemberKey>,
}

impl Walk {
    fn new(config: SwitchConfig) -> Self {
        Self {
            switch: Switch::new(config),
            names: Vec::new(),
            keys: HashMap::new(),
        }
    }

    fn steps(&mut self, steps: &Json<'_>) -> Result<Vec<Vec<Line>>, JsonError> {
        list(steps, |step| self.step(step))
    }

    fn step(&mut self, step: &Json<'_>) -> Result<Vec<Line>, JsonError> {
        let mut fields = Fields::of(step)?;
        // Those of a vector are not looked at.
        fields.optional("effects", |_| Ok(()))?;
        let effects = fields.required("event", |event| self.event(event))?;
        fields.finish()?;
        Ok(effects
            .into_iter()
            .map(|effect| self.line(effect))
            .collect())
    }

    fn event(&mut self, event: &Json<'_>) -> Result<Vec<Effect>, JsonError> {
        let mut fields = Fields::of(event)?;
        let mut effects = Vec::new();
        let kind = fields.required("type", text)?;
        let member = self.key(fields.required("member", text)?);
        match kind {
            "established" => {
                let wire = fields.required("wire", wire)?;
                let facts = match fields.optional("link", boolean)? {
                    Some(true) => MemberFacts::link(wire),
                    _ => MemberFacts::local(wire),
                };
                self.switch.established(member, facts, &mut effects);
            }
            "gone" => self.switch.left(member, &mut effects),
            "message" => {
                let msg = fields.required("msg", linked_message)?;
                self.switch.received(member, msg, &mut effects);
            }
            other => {
                let why = format!("{other:?} is none of established, gone, message");
                return Err(JsonError::new(why).under("type"));
            }
        }
        fields.finish()?;
        Ok(effects)
    }

    fn key(&mut self, name: &str) -> MemberKey {
        if let Some(key) = self.keys.get(name) {
            return *key;
        }
        let key = MemberKey(self.names.len() as u64);
        self.names.push(name.to_owned());
        self.keys.insert(name.to_owned(), key);
        key
    }

    fn name(&self, key: MemberKey) -> String {
        let name = usize::try_from(key.0)
            .ok()
            .and_then(|at| self.names.get(at));
        name.cloned().unwrap_or_default()
    }

    fn line(&self, effect: Effect) -> Line {
        match effect {
            Effect::Send { to, msg } => Line::Send {
                to: self.name(to),
                msg: Box::new(msg),
            },
            Effect::Report {
                diagnostic,
                member,
                doc,
            } => Line::Report {
                code: diagnostic.code(),
                member: self.name(member),
                doc,
            },
            // `Effect` may get more variants.
            other => Line::Other(format!("{other:?}")),
        }
    }
}

/// An effect, as the vectors write it.
enum Line {
    Send {
        to: String,
        msg: Box<ChannelMsg>,
    },
    Report {
        code: &'static str,
        member: String,
        doc: Option<DocId>,
    },
    Other(String),
}

impl Serialize for Line {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Self::Send { to, msg } => {
                map.serialize_entry("send", to)?;
                map.serialize_entry("msg", &LinkedMsg(msg))?;
            }
            Self::Report { code, member, doc } => {
                map.serialize_entry("diag", code)?;
                map.serialize_entry("member", member)?;
                if let Some(doc) = doc {
                    map.serialize_entry("docId", doc.as_str())?;
                }
            }
            Self::Other(effect) => map.serialize_entry("other", effect)?,
        }
        map.end()
    }
}
