//! The state of a member as a value, and a member from it: another process goes on as the same member.
//!
//! In: a member, or its saved state. Out: the same, the other way round. Touches nothing. How a body is saved is the
//! shell's.

use std::collections::BTreeMap;

use kyneta_uds_core::{Saved, SavedError, SavedValue};

use super::{
    Member, MemberConfig,
    audience::{Audience, Receiver},
    kept::{Kept, KeptMessage},
    places::{HeldPlace, Places},
};
use crate::{
    frame::{Message, Place},
    id::{Attempt, MemberId, SeqNo, Session, Token},
    saved::{Members, Numbered, groups, packed},
};

/// What the state is of, in errors.
const PART: &str = "the member of a bus";
const VERSION: u32 = 1;
const LISTED: &str = "listed";
const KEPT: &str = "kept";
const WAITING: &str = "waiting";
const BODY: &str = "body";

impl<B: Clone> Member<B> {
    /// What the member knows and keeps, for one in another process that goes on in its place, with the same id. Its
    /// settings are not part of it.
    ///
    /// ```
    /// use kyneta_uds_bus::{Incarnation, Member, MemberConfig, MemberId};
    /// use kyneta_uds_core::{PeerId, SavedError, SavedValue};
    ///
    /// let till = MemberId::new(PeerId::new("till")?, Incarnation(1));
    /// let mut member = Member::new(till, MemberConfig::default());
    /// member.accept(None, 7_u64, 8, &mut Vec::new())?;
    ///
    /// let saved = member.save(|body| SavedValue::from(*body));
    /// let body = |value: &SavedValue| match value {
    ///     SavedValue::Number(body) => Ok(*body),
    ///     _ => Err(SavedError::Value { name: "body", why: "it is no number" }),
    /// };
    /// let next = Member::resume(MemberConfig::default(), &saved, body)?;
    /// assert_eq!(next, member);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn save(&self, body: impl Fn(&B) -> SavedValue) -> Saved {
        let mut members = Numbered::default();
        let me = members.number(&self.me);
        let last_hub = self.last_hub.as_ref().map(|hub| members.number(hub));
        let listed = self.audience.iter();
        let listed = listed.map(|(id, receiver)| receiver.save(members.number(id)).into());
        let listed: Vec<SavedValue> = listed.collect();
        let kept = self.kept.iter();
        let kept = kept.map(|kept| {
            let left = self.kept.left(kept.message.n);
            // Another version of this library may go on, and one that counts them reads this.
            let owed = self.audience.waits_for(kept).count() as u64;
            let saved = kept.save(&mut members, left, &body);
            saved.with("owed", owed).into()
        });
        let kept: Vec<SavedValue> = kept.collect();
        let places = self.places.iter().flat_map(|(id, held)| {
            let HeldPlace {
                place, fresh, told, ..
            } = held;
            let fresh = u64::from(*fresh);
            [members.number(id), place.token.0, place.k.0, fresh, told.0]
        });
        let places = packed(places.collect::<Vec<_>>());
        let waiting = self.places.iter().filter(|(_, held)| held.has_waiting());
        let waiting: Vec<u64> = waiting
            .flat_map(|(id, held)| [members.number(id), held.waits.0, held.got.0])
            .collect();
        let saved = members
            .save(Saved::new(VERSION, 1))
            .with("me", me)
            .with("attempt", self.attempt.0)
            .with("connected", self.connected)
            .with("last", self.last.0)
            .with(LISTED, listed)
            .with(KEPT, kept)
            .with("places", places)
            .with("last-token", self.places.last_token().0)
            .with("ignored", self.ignored);
        let saved = match waiting.is_empty() {
            true => saved,
            false => saved.with(WAITING, packed(waiting)),
        };
        match last_hub {
            Some(hub) => saved.with("last-hub", hub),
            None => saved,
        }
    }

    /// Goes on where another member was, as that member.
    ///
    /// # Errors
    /// [`SavedError`]: a field is missing or has a value that cannot be, or the version is not one that this reads.
    pub fn resume(
        config: MemberConfig,
        saved: &Saved,
        body: impl Fn(&SavedValue) -> Result<B, SavedError>,
    ) -> Result<Self, SavedError> {
        saved.check(PART, 1..=VERSION)?;
        let members = Members::resume(saved)?;
        let mut member = Self::new(members.get(saved.number("me")?)?.clone(), config);
        member.attempt = Attempt(saved.number("attempt")?);
        member.connected = saved.flag("connected")?;
        member.last = SeqNo(saved.number("last")?);
        member.ignored = saved.number_or_zero("ignored")?;
        let last_hub = saved.number_if_any("last-hub")?;
        let last_hub = last_hub.map(|hub| members.get(hub).cloned());
        member.last_hub = last_hub.transpose()?;
        member.audience = audience(saved, &members)?;
        member.kept = kept(saved, &members, body)?;
        let mut held = BTreeMap::new();
        for [sender, token, k, fresh, told] in groups(saved, "places")? {
            let place = HeldPlace {
                place: Place {
                    token: Token(token),
                    k: SeqNo(k),
                },
                fresh: fresh != 0,
                told: SeqNo(told),
                waits: SeqNo(0),
                got: SeqNo(0),
            };
            held.insert(members.get(sender)?.clone(), place);
        }
        let last_token = Token(saved.number("last-token")?);
        // Absent in a state of an earlier release: what waits counts as had, as it did there.
        for [sender, waits, got] in groups(saved, WAITING)? {
            if let Some(held) = held.get_mut(members.get(sender)?) {
                (held.waits, held.got) = (SeqNo(waits), SeqNo(got));
            }
        }
        member.places = Places::with(held, last_token);
        Ok(member)
    }
}

fn audience(saved: &Saved, members: &Members) -> Result<Audience, SavedError> {
    let mut listed = BTreeMap::new();
    for value in saved.list(LISTED)? {
        let saved = value.as_part(LISTED)?;
        let id = members.get(saved.number("member")?)?.clone();
        let receiver = Receiver {
            token: Token(saved.number("token")?),
            start: SeqNo(saved.number("start")?),
            acked: SeqNo(saved.number("acked")?),
            live: saved.number_if_any("session")?.map(Session),
            keeps_newest: saved.flag_or_false("keeps-newest")?,
        };
        listed.insert(id, receiver);
    }
    Ok(Audience::with(listed))
}

impl Receiver {
    fn save(&self, member: u64) -> Saved {
        let mut saved = Saved::new(1, 1)
            .with("member", member)
            .with("token", self.token.0)
            .with("start", self.start.0)
            .with("acked", self.acked.0);
        if let Some(Session(session)) = self.live {
            saved = saved.with("session", session);
        }
        match self.keeps_newest {
            true => saved.with("keeps-newest", true),
            false => saved,
        }
    }
}

fn kept<B>(
    saved: &Saved,
    members: &Members,
    body: impl Fn(&SavedValue) -> Result<B, SavedError>,
) -> Result<Kept<B>, SavedError> {
    let (mut kept, mut last) = (Kept::new(), SeqNo(0));
    let size = |number| {
        usize::try_from(number).map_err(|_| SavedError::invalid(KEPT, "a size is too large"))
    };
    for value in saved.list(KEPT)? {
        let saved = value.as_part(KEPT)?;
        let n = SeqNo(saved.number("n")?);
        if n <= last {
            return Err(SavedError::invalid(
                KEPT,
                "they are not in the order of their numbers",
            ));
        }
        last = n;
        let to = saved.number_if_any("to")?;
        let to = to.map(|to| members.get(to).cloned()).transpose()?;
        for [of] in groups(saved, "left")? {
            kept.add_left(n, members.get(of)?);
        }
        let of = saved.get(BODY).ok_or(SavedError::Field {
            name: BODY,
            is: "a body",
        })?;
        kept.push(KeptMessage {
            message: Message {
                n,
                addressed: to.is_some(),
                body: body(of)?,
            },
            to,
            size: size(saved.number("size")?)?,
        });
    }
    Ok(kept)
}

impl<B> KeptMessage<B> {
    fn save<'a>(
        &'a self,
        members: &mut Numbered<'a>,
        left: &'a [MemberId],
        body: impl Fn(&B) -> SavedValue,
    ) -> Saved {
        let mut saved = Saved::new(1, 1)
            .with("n", self.message.n.0)
            .with("size", self.size as u64)
            .with(BODY, body(&self.message.body));
        if let Some(to) = &self.to {
            saved = saved.with("to", members.number(to));
        }
        match left.is_empty() {
            true => saved,
            false => saved.with("left", packed(left.iter().map(|of| members.number(of)))),
        }
    }
}
