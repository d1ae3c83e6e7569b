//! What a peer of a line does: it numbers what it sends, delivers each message once, says what is processed, and removes
//! what the other peer has processed.
//!
//! In: messages, what both documents hold. Out: edits of the outbox, deliveries. Touches nothing.

use std::collections::VecDeque;

use super::form::{Acknowledged, LineForm, number};
use crate::{json::Json, plain::Edit};

/// A document of a line, at one moment.
#[derive(Debug, Clone, Copy)]
pub struct LineState<'d> {
    /// What it holds.
    pub value: &'d Json,
    /// The history it belongs to, if it has one.
    pub lineage: Option<&'d str>,
}

/// A message that came, or what came instead.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Delivered {
    /// A message.
    Message(Json),
    /// Messages with these many numbers did not come, and do not come any more: the other peer has removed them.
    Missed(u64),
    /// An entry of the inbox that is no message: it has no number.
    NoMessage(Json),
}

/// What is delivered, and up to where all is processed once it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// What.
    pub what: Delivered,
    /// The number of the message; of others, the number of the message before.
    pub seq: u64,
    history: u64,
}

/// One peer of a line. It is told of the inbox whenever that has changed; it edits nothing itself.
///
/// ```
/// use kyneta_uds_exchange::{Json, line::{Delivered, LineForm, LineMachine, LineState}};
///
/// let empty = Json::parse("{}")?;
/// let mut ann = LineMachine::new(LineForm::Release2, &empty);
/// let edits = ann.send(Json::from("hello")); // of ann's outbox: the message and the next number
/// assert_eq!((ann.sent(), edits.len()), (1, 2));
///
/// // Bob's inbox is ann's outbox.
/// let value = Json::parse(r#"{"messages": [{"seq": 1, "payload": "hello"}], "nextSeq": 2}"#)?;
/// let inbox = LineState { value: &value, lineage: Some("0011") };
/// let mut bob = LineMachine::new(LineForm::Release2, &empty);
/// let mut out = Vec::new();
/// bob.deliver(inbox, 10, &mut out);
/// assert_eq!(out[0].what, Delivered::Message(Json::from("hello")));
/// assert!(bob.processed(&out[0]).is_some()); // the edits of bob's outbox that say so
///
/// let value = Json::parse(r#"{"ackSeq": 1, "ackLineage": "0011"}"#)?;
/// let inbox = LineState { value: &value, lineage: Some("2233") };
/// assert!(ann.remove(inbox, Some("0011")).is_some()); // ann's outbox is empty then
/// # Ok::<(), kyneta_uds_exchange::JsonFault>(())
/// ```
#[derive(Debug)]
pub struct LineMachine {
    form: LineForm,
    /// The number of the next message.
    next: u64,
    /// The numbers in the outbox, in order.
    outgoing: VecDeque<u64>,
    /// What the outbox says.
    acknowledged: Acknowledged,
    /// The history of the inbox, and how many there were before it.
    lineage: String,
    history: u64,
    /// The number of the last message that was delivered.
    delivered: u64,
    /// How many entries of the inbox are known to be no messages.
    strange: usize,
}

impl LineMachine {
    /// Goes on with what an outbox holds.
    pub fn new(form: LineForm, outbox: &Json) -> Self {
        let acknowledged = form.acknowledged(outbox);
        // What has no number goes with what is processed.
        let outgoing: VecDeque<u64> = messages(outbox).map(|(seq, _)| seq.unwrap_or(0)).collect();
        let next = outbox.get("nextSeq").and_then(number).unwrap_or(0).max(1);
        Self {
            form,
            next: outgoing.back().map_or(next, |last| next.max(last + 1)),
            outgoing,
            lineage: acknowledged.lineage.clone(),
            delivered: acknowledged.seq,
            acknowledged,
            history: 0,
            strange: 0,
        }
    }

    /// The edits of the outbox that send a message. When they are made, [`sent`](Self::sent) follows.
    pub fn send(&self, payload: Json) -> Vec<Edit> {
        self.form.send(self.next, payload)
    }

    /// The message is in the outbox. Returns its number.
    pub fn sent(&mut self) -> u64 {
        let seq = self.next;
        self.outgoing.push_back(seq);
        self.next = seq.saturating_add(1);
        seq
    }

    /// How many messages are in the outbox.
    pub fn waiting(&self) -> usize {
        self.outgoing.len()
    }

    /// Up to which number the other peer has processed all.
    pub fn processed_there(&self) -> u64 {
        let first = self.outgoing.front().copied();
        first.unwrap_or(self.next).saturating_sub(1)
    }

    /// What the inbox holds that was not delivered yet, at most `room` of it.
    pub fn deliver(&mut self, inbox: LineState<'_>, room: usize, out: &mut Vec<Delivery>) {
        self.enter(inbox.lineage);
        let (room, mut strange) = (out.len().saturating_add(room), 0);
        for (seq, entry) in messages(inbox.value) {
            if out.len() >= room {
                return;
            }
            let Some(seq) = seq else {
                strange += 1;
                if strange > self.strange {
                    self.strange = strange;
                    self.give(Delivered::NoMessage(entry.clone()), self.delivered, out);
                }
                continue;
            };
            if seq <= self.delivered {
                continue;
            }
            // The numbers before the first of a history were processed by a process before this one.
            let missed = seq - self.delivered - 1;
            if missed > 0 && self.delivered > 0 {
                self.give(Delivered::Missed(missed), seq - 1, out);
            }
            self.delivered = seq;
            let payload = entry.get("payload").cloned().unwrap_or(Json::Null);
            self.give(Delivered::Message(payload), seq, out);
        }
        self.strange = strange;
    }

    /// A document that was made anew counts from 1 again.
    fn enter(&mut self, lineage: Option<&str>) {
        let lineage = lineage.unwrap_or_default();
        if self.form == LineForm::Release1 || lineage == self.lineage {
            return;
        }
        lineage.clone_into(&mut self.lineage);
        self.history += 1;
        self.strange = 0;
        self.delivered = match self.acknowledged.lineage == lineage {
            true => self.acknowledged.seq,
            false => 0,
        };
    }

    fn give(&self, what: Delivered, seq: u64, out: &mut Vec<Delivery>) {
        let history = self.history;
        out.push(Delivery { what, seq, history });
    }

    /// All up to this delivery is processed: the edits of the outbox that say so; `None` when it says so already, or
    /// the inbox has another history now.
    pub fn processed(&mut self, delivery: &Delivery) -> Option<Vec<Edit>> {
        let lineage = match self.form {
            LineForm::Release1 => "",
            LineForm::Release2 => self.lineage.as_str(),
        };
        let is_new = self.acknowledged.lineage != lineage || self.acknowledged.seq < delivery.seq;
        if delivery.history != self.history || delivery.seq == 0 || !is_new {
            return None;
        }
        let lineage = lineage.to_owned();
        let seq = delivery.seq;
        self.acknowledged = Acknowledged { seq, lineage };
        Some(self.form.acknowledge(&self.acknowledged))
    }

    /// The edits of the outbox that remove what the other peer has processed, as its document says.
    pub fn remove(&mut self, inbox: LineState<'_>, outbox: Option<&str>) -> Option<Vec<Edit>> {
        let theirs = self.form.acknowledged(inbox.value);
        if self.form == LineForm::Release2 && outbox != Some(theirs.lineage.as_str()) {
            return None;
        }
        let is_processed = |seq: &&u64| **seq <= theirs.seq;
        let count = self.outgoing.iter().take_while(is_processed).count();
        self.outgoing.drain(..count);
        (count > 0).then(|| vec![Edit::delete("messages", 0, count)])
    }
}

/// The entries of a document, each with its number if it has one.
fn messages(doc: &Json) -> impl Iterator<Item = (Option<u64>, &Json)> {
    let entries = match doc.get("messages") {
        Some(Json::Array(entries)) => entries.as_slice(),
        _ => &[],
    };
    entries.iter().map(|entry| {
        let seq = entry.get("seq").and_then(number);
        (seq.filter(|seq| *seq > 0), entry)
    })
}
