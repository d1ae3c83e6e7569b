//! The greeting as a frame of the machines, and back.
//!
//! In: a greeting of the wire, or of the machine. Out: the other one. Pure.

use kyneta_uds_bus::{
    Attempt, Hello, Incarnation, MachineId, MemberId, Place, SeqNo, SlowPolicy, Token,
};
use kyneta_uds_core::PeerId;

use crate::bus::{
    shared::Shared,
    wire::{Greeting, VERSIONS},
};

/// What a greeting begins with.
pub(crate) const MAGIC: &str = "kyneta-bus";

pub(super) fn greeting(hello: Hello, shared: &Shared) -> Greeting {
    let is_here = |(member, _): &(MemberId, Place)| member.machine == MachineId::default();
    let (places, far): (Vec<_>, Vec<_>) = hello.places.into_iter().partition(is_here);
    let told = |(member, place): (MemberId, Place)| {
        let id = member.peer.as_str().to_owned();
        (id, member.incarnation.0, place.token.0, place.k.0)
    };
    Greeting {
        bus: MAGIC.to_owned(),
        lo: VERSIONS.0,
        hi: VERSIONS.1,
        protocols: shared.protocols().to_vec(),
        me: shared.me().introduction(),
        attempt: hello.attempt.0,
        hub: hello
            .last_hub
            .map(|hub| (hub.peer.as_str().to_owned(), hub.incarnation.0)),
        slow: match hello.slow {
            SlowPolicy::Wait => 0,
            SlowPolicy::Disconnect => 1,
            SlowPolicy::Newest(count) => 1 + u64::from(count.get()),
        },
        places: places.into_iter().map(told).collect(),
        far: far.into_iter().map(told).collect(),
    }
}

/// The greeting's frame; `None` if an id is too long.
pub(crate) fn hello(greeting: &Greeting) -> Option<Hello> {
    let member = |id: &str, incarnation| {
        let peer = PeerId::new(id).ok()?;
        Some(MemberId::new(peer, Incarnation(incarnation)))
    };
    let place = |(_, _, token, k): &(String, u64, u64, u64)| Place {
        token: Token(*token),
        k: SeqNo(*k),
    };
    let here = greeting.places.iter();
    let here = here.map(|of| Some((member(&of.0, of.1)?, place(of))));
    let far = greeting.far.iter();
    let far = far.map(|of| {
        let (_, machine) = of.0.rsplit_once('@')?;
        let machine = MachineId::of_name(machine);
        let member = member(&of.0, of.1)?;
        Some((MemberId { machine, ..member }, place(of)))
    });
    let newest = |count: u64| std::num::NonZeroU32::new(u32::try_from(count).unwrap_or(u32::MAX));
    Some(Hello {
        member: member(&greeting.me.id, greeting.me.inc)?,
        attempt: Attempt(greeting.attempt),
        last_hub: greeting
            .hub
            .as_ref()
            .and_then(|(id, incarnation)| member(id, *incarnation)),
        slow: match greeting.slow {
            0 => SlowPolicy::Wait,
            1 => SlowPolicy::Disconnect,
            more => newest(more - 1).map_or(SlowPolicy::Wait, SlowPolicy::Newest),
        },
        places: here.chain(far).collect::<Option<_>>()?,
    })
}
