//! The chat on the bus: lines that are said and heard, and who is there.
//!
//! In: a path, a name, lines to say. Out: [`Input`]s for the screen. May touch: what a [`kyneta_uds::Bus`] does.
//!
//! A line is a message of type `String`, so `kyneta-uds bus PATH` takes part as well.

use kyneta_uds::{
    BoxError, BusIncoming, Identity,
    bus::{BusEvent, BusEventReader},
};
use tokio::sync::mpsc;
use tower::{Service as _, ServiceExt as _, service_fn};

use crate::app::Input;

pub(crate) struct Bus {
    member: kyneta_uds::Bus<String>,
    events: BusEventReader,
    inbox: mpsc::Receiver<BusIncoming<String>>,
}

impl Bus {
    pub(crate) async fn join(path: &str, name: &str) -> Result<Self, BoxError> {
        let (heard, inbox) = mpsc::channel(16);
        let handler = service_fn(move |line| {
            let heard = heard.clone();
            async move { heard.send(line).await }
        });
        let builder = kyneta_uds::Bus::builder(path)
            .identity(Identity::user(name)?)
            .protocol("json/1");
        Ok(Self {
            events: builder.events(),
            member: builder.join(handler).await?,
            inbox,
        })
    }

    /// What is next for the screen; `None` at the end. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Input> {
        loop {
            let input = tokio::select! {
                biased; // a member joins before it says something
                event = self.events.recv() => shown(event?),
                line = self.inbox.recv() => line.map(|line| Some(Input::Said {
                    who: line.from.id.to_string(),
                    text: line.message,
                }))?,
            };
            if input.is_some() {
                return input;
            }
        }
    }

    /// To all others. It is kept until they have it, which is not waited for.
    pub(crate) async fn say(&mut self, line: String) -> Result<(), BoxError> {
        let said = self.member.ready().await?.call(line);
        match said.seq() {
            Some(_) => Ok(()),
            None => Ok(said.await.map(drop)?),
        }
    }

    /// The others see it at once, and one of them takes over.
    pub(crate) async fn leave(self) {
        self.member.dispose().await;
    }
}

fn shown(event: BusEvent) -> Option<Input> {
    let moved = |who: &kyneta_uds::PeerId, here, how| {
        let who = who.to_string();
        Some(Input::Member { who, here, how })
    };
    match event {
        BusEvent::Role(role) => Some(Input::Role(role)),
        BusEvent::Joined(member) => moved(&member.id, true, "is here"),
        BusEvent::Left(member) => moved(&member.id, false, "has left"),
        BusEvent::Missed { from, count } => {
            let what = format!("up to {count} lines of {} have not come", from.id);
            Some(Input::Notice(what))
        }
        BusEvent::NotUnderstood { from, .. } => {
            let what = format!("{} has sent something that is no line", from.id);
            Some(Input::Notice(what))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kyneta_uds::Role;

    use super::*;

    async fn until(bus: &mut Bus, wanted: impl Fn(&Input) -> bool) -> Input {
        let input = async {
            loop {
                let input = bus.next().await.unwrap();
                if wanted(&input) {
                    return input;
                }
            }
        };
        let limit = Duration::from_secs(20);
        tokio::time::timeout(limit, input).await.unwrap()
    }

    async fn heard(bus: &mut Bus) -> (String, String) {
        match until(bus, |input| matches!(input, Input::Said { .. })).await {
            Input::Said { who, text } => (who, text),
            _ => unreachable!(),
        }
    }

    async fn until_moved(bus: &mut Bus, name: &str, to: bool) {
        let moved = |input: &Input| match input {
            Input::Member { who, here, .. } => who == name && *here == to,
            _ => false,
        };
        until(bus, moved).await;
    }

    fn is(role: Role) -> impl Fn(&Input) -> bool {
        move |input| matches!(input, Input::Role(now) if *now == role)
    }

    fn said(who: &str, text: &str) -> (String, String) {
        (who.to_owned(), text.to_owned())
    }

    #[tokio::test]
    async fn all_hear_all_and_when_the_listener_leaves_the_others_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("chat.sock");
        let path = path.to_str().unwrap();
        let mut alice = Bus::join(path, "alice").await.unwrap();
        let mut bob = Bus::join(path, "bob").await.unwrap();
        let mut carol = Bus::join(path, "carol").await.unwrap();
        until(&mut alice, is(Role::Listener)).await;
        for name in ["bob", "carol"] {
            until_moved(&mut alice, name, true).await;
        }
        until_moved(&mut bob, "carol", true).await;

        carol.say("hello".to_owned()).await.unwrap();
        for other in [&mut alice, &mut bob] {
            assert_eq!(heard(other).await, said("carol", "hello"));
        }

        alice.leave().await;
        let (first, second) = tokio::join!(after_alice(&mut bob), after_alice(&mut carol));
        let mut roles = [first, second].map(|role| role.to_string());
        roles.sort_unstable();
        assert_eq!(roles, ["connector", "listener"]);
        carol.say("still here".to_owned()).await.unwrap();
        assert_eq!(heard(&mut bob).await, said("carol", "still here"));
        bob.say("so am I".to_owned()).await.unwrap();
        assert_eq!(heard(&mut carol).await, said("bob", "so am I"));
    }

    /// The role after negotiating, when alice is gone as well. The two come in any order.
    async fn after_alice(bus: &mut Bus) -> Role {
        let (mut is_gone, mut negotiates, mut next) = (false, false, None);
        loop {
            match until(bus, |_| true).await {
                Input::Member { who, here, .. } if who == "alice" => is_gone = !here,
                Input::Role(Role::Negotiating) => negotiates = true,
                Input::Role(role) => next = negotiates.then_some(role),
                _ => {}
            }
            if let (true, Some(role)) = (is_gone, next) {
                return role;
            }
        }
    }
}
