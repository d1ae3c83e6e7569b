//! Whether a connection becomes that of a member.
//!
//! In: greetings. Out: the greeting for the hub, or a refusal with its reason. Touches nothing else.

use std::sync::Arc;

use kyneta_uds_bus::{ConnectionKey, Hello, HubEvent, UpFrame};
use kyneta_uds_core::SharedError;

use super::{
    core::{Connection, Core},
    turn::Turn,
};
use crate::bus::{
    channel::{MAGIC, convert::invalid, hello},
    event::BusEvent,
    info::MemberInfo,
    refusal::refused,
    wire::{Greeting, Introduction, Refused, VERSIONS, Wire},
};

impl Core {
    /// A connection introduces itself as a member.
    pub(super) fn greet(&mut self, key: ConnectionKey, greeting: &Greeting, turn: &mut Turn<'_>) {
        let why = match self.admit(key, greeting, turn.shared.protocols()) {
            Ok(hello) => {
                let frame = UpFrame::Hello(hello);
                return turn.hub(HubEvent::Frame { from: key, frame });
            }
            Err(why) => why,
        };
        self.refuse(key, &greeting.me.id, why, turn);
    }

    /// A connection speaks kyneta's protocol. In the middle of ours it is one more payload that is not understood.
    pub(super) fn refuse_kyneta(
        &mut self,
        key: ConnectionKey,
        id: Option<String>,
        turn: &mut Turn<'_>,
    ) {
        let is_member = |of: &Connection| of.member.is_some();
        if self.connections.get(&key).is_some_and(is_member) {
            let error =
                SharedError::new(invalid("a message of kyneta's, from a member of this bus"));
            turn.after.events.push(BusEvent::Rejected { error });
            return;
        }
        let why = format!(
            "the peer speaks kyneta's protocol, and the listener is a bus of {}",
            names(turn.shared.protocols())
        );
        let id = id.unwrap_or_default();
        self.refuse(key, &id, refused("other-protocol", why), turn);
    }

    fn refuse(&mut self, key: ConnectionKey, id: &str, why: Refused, turn: &mut Turn<'_>) {
        turn.after.events.push(BusEvent::Refused {
            id: id.chars().take(256).collect(),
            error: why.clone().into(),
        });
        if let Some(connection) = self.connections.get_mut(&key) {
            connection.is_closing = true;
            connection.outbox.push_wire(Wire::Refuse(Box::new(why)));
            turn.after.down(&connection.outbox);
            turn.after.closed.push(connection.handle.clone());
        }
    }

    fn admit(
        &mut self,
        key: ConnectionKey,
        greeting: &Greeting,
        ours: &[String],
    ) -> Result<Hello, Refused> {
        let protocol = protocol(greeting, ours)?;
        let Some(hello) = hello(greeting) else {
            return Err(refused("id", "an id in the greeting is empty or too long"));
        };
        if let Some(refused) = self.refuses_beyond_window(&hello.member) {
            return Err(refused);
        }
        #[cfg(feature = "machines")]
        if let Some(refused) = self.links.refuses(&hello.member.peer) {
            return Err(refused);
        }
        let Some(connection) = self.connections.get_mut(&key) else {
            return Err(refused("gone", "the connection has ended"));
        };
        let credentials = connection.credentials;
        let uid = credentials.map(|of| of.uid);
        let mut same = self
            .members
            .iter()
            .filter(|(known, _)| known.is_same_peer(&hello.member));
        let owner = same
            .find_map(|(_, info)| info.uid)
            .or_else(|| self.owners.uid(&hello.member.peer));
        if let Some((owner, uid)) = owner.zip(uid)
            && owner != uid
        {
            let why = format!(
                "the id {:?} belongs to uid {owner}, and this process is of uid {uid}",
                greeting.me.id
            );
            return Err(refused("id-of-another-user", why));
        }
        protocol.clone_into(&mut connection.protocol);
        connection.greeting = None;
        connection.member = Some(hello.member.clone());
        connection.slow = hello.slow;
        connection.outbox.slow(hello.slow);
        let introduction = Introduction {
            machine: None,
            pid: credentials.and_then(|of| of.pid),
            uid,
            ..greeting.me.clone()
        };
        if let Ok(info) = MemberInfo::read(&introduction) {
            self.members.insert(hello.member.clone(), Arc::new(info));
        }
        Ok(hello)
    }
}

/// The first protocol of the greeting that this side has, too.
fn protocol<'a>(greeting: &'a Greeting, ours: &[String]) -> Result<&'a str, Refused> {
    if greeting.bus != MAGIC {
        let why = "the connection does not speak the protocol of this bus";
        return Err(refused("not-a-bus", why));
    }
    let (lo, hi) = (greeting.lo, greeting.hi);
    if lo > VERSIONS.1 || hi < VERSIONS.0 {
        let ours = format!("{} to {}", VERSIONS.0, VERSIONS.1);
        let why =
            format!("the listener speaks versions {ours} of the bus, this member {lo} to {hi}");
        return Err(refused("version", why));
    }
    let theirs = &greeting.protocols;
    let common = theirs.iter().find(|of| ours.contains(of));
    common.map(String::as_str).ok_or_else(|| {
        let (ours, theirs) = (names(ours), names(theirs));
        let why = format!("the listener's protocol is {ours}, this member's is {theirs}");
        refused("protocol", why)
    })
}

fn names(protocols: &[String]) -> String {
    if protocols.is_empty() {
        return "no protocol".to_owned();
    }
    let named = protocols.iter().take(8).map(|name| format!("{name:?}"));
    named.collect::<Vec<_>>().join(", ")
}
