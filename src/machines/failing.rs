//! That the links of a listener cannot be started: what is told of it, and what is counted.
//!
//! In: errors, the time. Out: whether to tell, and when to try again. Touches nothing.

use std::time::Duration;

use kyneta_uds_core::SharedError;
use tokio::time::Instant;

/// The pause before links that could not be started are started again. For the first second it is a short one, and there is
/// no report: a predecessor that ends holds the address for a moment.
pub(super) const RETRY: Duration = Duration::from_secs(1);
const FIRST_RETRIES: Duration = Duration::from_millis(20);

/// The links of a listener cannot be started: its key file cannot be read, its address cannot be bound, its server is not
/// there. It is tried again each second. As [`Peer::links_failure`](crate::Peer::links_failure) gives it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LinksFailure {
    /// Why, at the last attempt.
    pub error: SharedError,
    /// How many attempts have failed in a row.
    pub attempts: u64,
    /// For how long.
    pub elapsed: Duration,
}

/// The attempts that have failed in a row.
#[derive(Debug, Default)]
pub(super) struct Failing(Option<Attempts>);

#[derive(Debug)]
struct Attempts {
    error: SharedError,
    count: u64,
    since: Instant,
    /// The last error that was told.
    told: Option<String>,
}

impl Failing {
    /// One more attempt has failed. When to try again, and whether to tell: each error once in a row.
    pub(super) fn failed(&mut self, error: SharedError, now: Instant) -> (Duration, bool) {
        let attempts = self.0.get_or_insert_with(|| Attempts {
            error: error.clone(),
            count: 0,
            since: now,
            told: None,
        });
        attempts.count += 1;
        let text = error.to_string();
        attempts.error = error;
        if now.duration_since(attempts.since) < RETRY {
            return (FIRST_RETRIES, false);
        }
        let is_news = attempts.told.as_ref() != Some(&text);
        attempts.told = Some(text);
        (RETRY, is_news)
    }

    /// They are started, or not wanted any more.
    pub(super) fn end(&mut self) {
        self.0 = None;
    }

    pub(super) fn failure(&self, now: Instant) -> Option<LinksFailure> {
        self.0.as_ref().map(|attempts| LinksFailure {
            error: attempts.error.clone(),
            attempts: attempts.count,
            elapsed: now.duration_since(attempts.since),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn an_error_is_told_after_a_second_and_again_when_it_is_another_one() {
        let mut failing = Failing::default();
        let start = Instant::now();
        let mut at = |millis: u64, text: &str| {
            let error = SharedError::new(io::Error::other(text.to_owned()));
            let (pause, is_news) = failing.failed(error, start + Duration::from_millis(millis));
            (pause.as_millis(), is_news)
        };
        assert_eq!(at(0, "in use"), (20, false));
        assert_eq!(at(980, "in use"), (20, false));
        assert_eq!(at(1_000, "in use"), (1_000, true));
        assert_eq!(at(2_000, "in use"), (1_000, false));
        assert_eq!(at(3_000, "no key"), (1_000, true));
        assert_eq!(at(4_000, "no key"), (1_000, false));
        let failure = failing.failure(start + Duration::from_secs(4)).unwrap();
        assert_eq!(
            (
                failure.attempts,
                failure.error.to_string().as_str(),
                failure.elapsed.as_secs()
            ),
            (6, "no key", 4)
        );

        failing.end();
        assert!(failing.failure(start).is_none());
        let error = || SharedError::new(io::Error::other("in use"));
        assert!(!failing.failed(error(), start).1);
        assert!(
            failing.failed(error(), start + RETRY).1,
            "it is news after an end"
        );
    }
}
