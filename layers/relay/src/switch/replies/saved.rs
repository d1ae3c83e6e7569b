//! What a member was sent and has not answered, as a value.
//!
//! In: the replies that are expected; or a value of another process. Out: the other of the two, or the field that is
//! not as it must be. Pure.

use kyneta_uds_core::{Saved, SavedError, SavedValue};

use super::{Expected, LinkVersions, Replies};
use crate::switch::saved::{
    Fields as _, option_of_version, version_value, versions, versions_value,
};

const EXPECTED: &str = "expected";

impl Replies {
    pub(in crate::switch) fn save(&self) -> Saved {
        let expected = self.expected.iter().map(|expected| expected.save().into());
        let saved = Saved::new(1, 1)
            .with_flag("doubtful", self.is_doubtful)
            .with_list(EXPECTED, expected)
            .with_number("deliveries", self.deliveries)
            .with_list("vain", versions_value(&self.vain))
            .with_flag("asked", self.is_asked)
            .with_number("stale", self.stale.into())
            .with_flag("has-been-stale", self.has_been_stale)
            .with_number("surplus", self.surplus.into())
            .with_number("slack", self.slack.into())
            .with_flag("short", self.is_short);
        match &self.at {
            Some(at) => saved.with("at", at.as_str()),
            None => saved,
        }
    }

    pub(in crate::switch) fn resume(saved: &Saved) -> Result<Self, SavedError> {
        saved.check("the replies of a member", 1..=1)?;
        let expected = saved.list_or_empty(EXPECTED)?.iter();
        Ok(Self {
            at: option_of_version(saved.get("at"), "at")?,
            is_doubtful: saved.flag_or_false("doubtful")?,
            expected: expected.map(Expected::resume).collect::<Result<_, _>>()?,
            deliveries: saved.number_or_zero("deliveries")?,
            vain: versions(saved, "vain")?,
            is_asked: saved.flag_or_false("asked")?,
            stale: saved.number32_or_zero("stale")?,
            has_been_stale: saved.flag_or_false("has-been-stale")?,
            surplus: saved.number32_or_zero("surplus")?,
            slack: saved.number32_or_zero("slack")?,
            is_short: saved.flag_or_false("short")?,
        })
    }
}

impl Expected {
    fn save(&self) -> Saved {
        let saved = Saved::new(1, 1);
        match self {
            Self::Offer { since, deliveries } => saved
                .with("since", version_value(since))
                .with_number("deliveries", *deliveries),
            Self::Interest { counts, deliveries } => saved
                .with("counts", *counts)
                .with_number("deliveries", *deliveries),
        }
    }

    fn resume(value: &SavedValue) -> Result<Self, SavedError> {
        let saved = value.as_part(EXPECTED)?;
        let deliveries = saved.number_or_zero("deliveries")?;
        if saved.get("counts").is_some() {
            let counts = saved.flag("counts")?;
            return Ok(Self::Interest { counts, deliveries });
        }
        let since = option_of_version(saved.get("since"), "since")?;
        Ok(Self::Offer { since, deliveries })
    }
}

impl LinkVersions {
    pub(in crate::switch) fn save(&self, saved: Saved) -> Saved {
        saved
            .with_list("wanted", versions_value(&self.wanted))
            .with_list("asked", versions_value(&self.asked))
    }

    pub(in crate::switch) fn resume(saved: &Saved) -> Result<Self, SavedError> {
        Ok(Self {
            wanted: versions(saved, "wanted")?,
            asked: versions(saved, "asked")?,
        })
    }
}
