//! What the saved states of hub, member and queue have in common: members by number, and lists of numbers.
//!
//! In: members and numbers, or the values that they were saved as. Out: the same, the other way round. Touches nothing.
//!
//! A hub has places for each pair of members. So a member is written once and named by a number after that, and a list
//! of numbers is a string of bytes: seven bits in each, the lowest ones first, and a bit that says whether more follow.

use std::collections::BTreeMap;

use kyneta_uds_core::{PeerId, Saved, SavedError, SavedValue};

use crate::id::{Incarnation, MachineId, MemberId};

/// The name of the field with the members.
const MEMBERS: &str = "members";

/// The machine, the peer and the incarnation.
impl From<&MemberId> for SavedValue {
    fn from(id: &MemberId) -> Self {
        Self::List(vec![
            id.machine.0.into(),
            id.peer.as_str().into(),
            id.incarnation.0.into(),
        ])
    }
}

impl TryFrom<&SavedValue> for MemberId {
    type Error = SavedError;

    fn try_from(value: &SavedValue) -> Result<Self, SavedError> {
        let fields = match value {
            SavedValue::List(fields) => fields.as_slice(),
            _ => &[],
        };
        let [
            SavedValue::Number(machine),
            SavedValue::Text(peer),
            SavedValue::Number(incarnation),
        ] = fields
        else {
            return Err(SavedError::invalid(
                "member",
                "it is no machine, id and incarnation",
            ));
        };
        let peer = PeerId::new(peer.as_str());
        Ok(Self {
            machine: MachineId(*machine),
            peer: peer.map_err(|_| SavedError::invalid("member", "its id is over the limit"))?,
            incarnation: Incarnation(*incarnation),
        })
    }
}

/// Gives members numbers.
#[derive(Default)]
pub(crate) struct Numbered<'a> {
    members: Vec<&'a MemberId>,
    numbers: BTreeMap<&'a MemberId, u64>,
}

impl<'a> Numbered<'a> {
    pub(crate) fn number(&mut self, member: &'a MemberId) -> u64 {
        let next = self.members.len() as u64;
        let number = *self.numbers.entry(member).or_insert(next);
        if number == next {
            self.members.push(member);
        }
        number
    }

    /// After all have their numbers.
    pub(crate) fn save(self, saved: Saved) -> Saved {
        let members = self.members.into_iter().map(SavedValue::from);
        saved.with(MEMBERS, members.collect::<Vec<_>>())
    }
}

/// Members by their numbers.
pub(crate) struct Members(Vec<MemberId>);

impl Members {
    pub(crate) fn resume(saved: &Saved) -> Result<Self, SavedError> {
        let members = saved.list(MEMBERS)?.iter().map(MemberId::try_from);
        Ok(Self(members.collect::<Result<_, _>>()?))
    }

    pub(crate) fn get(&self, number: u64) -> Result<&MemberId, SavedError> {
        let found = usize::try_from(number).ok().and_then(|at| self.0.get(at));
        found.ok_or_else(|| SavedError::invalid(MEMBERS, "one is named that is not there"))
    }
}

/// Numbers as bytes.
pub(crate) fn packed(numbers: impl IntoIterator<Item = u64>) -> SavedValue {
    let mut out = Vec::new();
    for mut number in numbers {
        while number > 0x7f {
            out.push(number as u8 | 0x80);
            number >>= 7;
        }
        out.push(number as u8);
    }
    out.into()
}

/// Groups of `N` numbers from bytes. A field that is absent has none.
pub(crate) fn groups<const N: usize>(
    saved: &Saved,
    name: &'static str,
) -> Result<Vec<[u64; N]>, SavedError> {
    let bytes = match saved.get(name) {
        Some(_) => saved.bytes(name)?.as_ref(),
        None => &[],
    };
    let (mut groups, mut group, mut filled) = (Vec::new(), [0; N], 0);
    let (mut number, mut shift) = (0_u64, 0_u32);
    for byte in bytes {
        let bits = u64::from(byte & 0x7f);
        if shift > 63 || (bits << shift) >> shift != bits {
            return Err(SavedError::invalid(name, "a number has more than 64 bits"));
        }
        number |= bits << shift;
        shift += 7;
        if byte & 0x80 != 0 {
            continue;
        }
        if let Some(item) = group.get_mut(filled) {
            *item = number;
        }
        (number, shift, filled) = (0, 0, filled + 1);
        if filled == N {
            groups.push(group);
            filled = 0;
        }
    }
    match (filled, shift) {
        (0, 0) => Ok(groups),
        _ => Err(SavedError::invalid(name, "it ends within an item")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_were_written_and_nothing_else_is_read() {
        let numbers = [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, u64::MAX - 1, u64::MAX];
        let saved = Saved::new(1, 1).with("numbers", packed(numbers));
        let pairs: Vec<[u64; 2]> = groups(&saved, "numbers").unwrap();
        assert_eq!(pairs.as_flattened(), numbers);
        assert_eq!(groups::<2>(&saved, "others").unwrap(), [[0; 2]; 0]);
        // No whole group; a number that goes on; more than 64 bits.
        assert!(groups::<3>(&saved, "numbers").is_err());
        for bytes in [
            vec![0x80],
            [vec![0xff; 9], vec![0x02]].concat(),
            vec![0x80; 12],
        ] {
            let saved = Saved::new(1, 1).with("numbers", bytes);
            assert!(groups::<1>(&saved, "numbers").is_err(), "{saved:?}");
        }
    }
}
