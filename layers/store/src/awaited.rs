//! A store that is opened late: when it is read, and when another process has closed it.
//!
//! In: a directory. Out: its store. Touches what the store touches, and the clock: reading it may wait.

use std::{
    path::PathBuf,
    thread::sleep,
    time::{Duration, Instant},
};

use crate::{
    error::StoreError,
    redb::Redb,
    stored::{Store, Stored, Write},
};

/// After how long a store that is in use is tried again.
const AGAIN: Duration = Duration::from_millis(5);

/// A [`Redb`] of a directory that another process may still have. Made by [`Redb::awaited`].
#[derive(Debug)]
pub struct AwaitedRedb {
    dir: PathBuf,
    limit: Duration,
    store: Option<Redb>,
}

impl Redb {
    /// The store of a directory, opened by [`load`](Store::load). While another process has it, that waits for `limit` at
    /// most: a process that takes over from another one opens its store after it.
    ///
    /// ```
    /// use kyneta_uds_store::{Redb, Store};
    /// use std::{thread, time::Duration};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// let dir = dir.path().join("exchange");
    /// let former = Redb::open(&dir)?; // of another process
    /// let mut store = Redb::awaited(&dir, Duration::from_secs(5));
    /// let ending = thread::spawn(move || drop(former));
    /// assert!(store.load()?.is_empty());
    /// # ending.join().map_err(|_| "panic")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn awaited(dir: impl Into<PathBuf>, limit: Duration) -> AwaitedRedb {
        AwaitedRedb {
            dir: dir.into(),
            limit,
            store: None,
        }
    }
}

impl AwaitedRedb {
    fn opened(&mut self) -> Result<&mut Redb, StoreError> {
        let store = match self.store.take() {
            Some(store) => store,
            None => self.wait()?,
        };
        Ok(self.store.insert(store))
    }

    fn wait(&self) -> Result<Redb, StoreError> {
        let began = Instant::now();
        loop {
            match Redb::open(&self.dir) {
                Err(StoreError::InUse { .. }) if began.elapsed() < self.limit => sleep(AGAIN),
                opened => return opened,
            }
        }
    }
}

impl Store for AwaitedRedb {
    fn load(&mut self) -> Result<Vec<Stored>, StoreError> {
        self.opened()?.load()
    }

    fn write(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        self.opened()?.write(writes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_in_use_is_waited_for_and_not_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let former = Redb::open(dir.path()).unwrap();
        let mut impatient = Redb::awaited(dir.path(), Duration::from_millis(20));
        let began = Instant::now();
        let error = impatient.load().unwrap_err();
        assert!(matches!(error, StoreError::InUse { .. }), "{error}");
        assert!(began.elapsed() >= Duration::from_millis(20));
        let mut patient = Redb::awaited(dir.path(), Duration::from_secs(20));
        let reading = std::thread::spawn(move || patient.load().map(|all| all.len()));
        sleep(Duration::from_millis(50));
        drop(former);
        assert_eq!(reading.join().unwrap().unwrap(), 0);
    }
}
