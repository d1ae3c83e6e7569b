//! The kernel's word that a file was unlinked, replaced or moved: inotify(7), where there is one.
//!
//! In: files. Out: a wake when something has happened to one of them, and one each second. May touch:
//! one inotify descriptor and one thread, which sleeps in poll(2), for the whole process.
//!
//! The thread keeps the second, so that a runtime with nothing else to wait for keeps no timer: with
//! one, each of its turns asks for the time and sets the kernel's timer, some 4 % of a round trip.
//!
//! One for all, and never closed: closing an inotify descriptor waits for the kernel's other readers,
//! some ten milliseconds. A process that is killed closes its descriptors from the highest to the
//! lowest, and whoever waits for its end waits for that, too; so this one is to be opened
//! [early](prepare). Measured from kill(2) to the end of a connection, median and longest of 15: 0.9
//! and 1.5 ms without, 1.1 and 6.5 ms with a lower, 3.5 and 17 ms with a higher descriptor.

#[cfg(target_os = "linux")]
pub(super) use linux::Changes;
#[cfg(not(target_os = "linux"))]
pub(super) use none::Changes;

/// Readies the process for being told of changes to a listener's files: nothing to do where there is no
/// inotify. Best done before it makes its first connection; done by itself, but later, with the first
/// [`Listener`](crate::Listener) that asks whether its path is still its own. Once a process is enough;
/// more do nothing.
///
/// ```
/// kyneta_uds_unix::prepare();
/// ```
pub fn prepare() {
    Changes::prepare();
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        collections::HashMap,
        path::Path,
        sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
        task::{Context, Poll, Waker},
        thread,
    };

    use inotify::{Inotify, WatchDescriptor, WatchMask, Watches};
    use rustix::{
        event::{PollFd, PollFlags, Timespec, poll},
        io::Errno,
    };

    use super::super::notice::SELDOM;

    /// Who tells of changes, and to whom.
    struct Teller {
        watches: Watches,
        bells: Arc<Bells>,
    }

    type Bells = Mutex<HashMap<WatchDescriptor, Arc<Bell>>>;

    /// Rung by the thread, heard by a task.
    #[derive(Debug, Default)]
    struct Bell {
        state: Mutex<Rung>,
    }

    #[derive(Debug, Default)]
    struct Rung {
        why: Option<Why>,
        waker: Option<Waker>,
    }

    /// Why a look is due.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    enum Why {
        /// A second is over.
        Time,
        /// Something has happened to a file.
        Change,
    }

    /// Changes to some files.
    #[derive(Debug)]
    pub(in super::super) struct Changes {
        bell: Arc<Bell>,
        watched: Vec<WatchDescriptor>,
    }

    impl Changes {
        pub(super) fn prepare() {
            Self::teller();
        }

        /// `None` when the kernel will not tell: out of watches, or a file that we may not read.
        pub(in super::super) fn of(files: [&Path; 2]) -> Option<Self> {
            let teller = Self::teller()?;
            let which = WatchMask::ATTRIB
                | WatchMask::DELETE_SELF
                | WatchMask::MOVE_SELF
                | WatchMask::DONT_FOLLOW;
            let bell = Bell::default();
            // The first look is due at once.
            bell.ring(Why::Time);
            let mut this = Self {
                bell: Arc::new(bell),
                watched: Vec::new(),
            };
            for file in files {
                // Under the lock, so that no event of it finds nobody.
                let mut bells = lock(&teller.bells);
                let watch = teller.watches.clone().add(file, which).ok()?;
                bells.insert(watch.clone(), this.bell.clone());
                this.watched.push(watch);
            }
            Some(this)
        }

        /// Ready when a look is due: true when something has happened, whatever it was.
        pub(in super::super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
            let mut state = lock(&self.bell.state);
            if let Some(why) = state.why.take() {
                return Poll::Ready(why == Why::Change);
            }
            match &mut state.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                waker => *waker = Some(cx.waker().clone()),
            }
            Poll::Pending
        }

        fn teller() -> Option<&'static Teller> {
            static TELLER: OnceLock<Option<Teller>> = OnceLock::new();
            TELLER.get_or_init(Teller::start).as_ref()
        }
    }

    impl Drop for Changes {
        fn drop(&mut self) {
            let Some(teller) = Self::teller() else { return };
            for watch in self.watched.drain(..) {
                lock(&teller.bells).remove(&watch);
                // Gone already with its file, perhaps.
                let _ = teller.watches.clone().remove(watch);
            }
        }
    }

    impl Teller {
        fn start() -> Option<Self> {
            let inotify = Inotify::init().ok()?;
            let (watches, bells) = (inotify.watches(), Arc::<Bells>::default());
            let heard = bells.clone();
            let listening = move || listen(inotify, &heard);
            let thread = thread::Builder::new().name("kyneta-uds-paths".to_owned());
            thread.spawn(listening).ok()?;
            Some(Self { watches, bells })
        }
    }

    fn listen(mut inotify: Inotify, bells: &Bells) {
        /// Room for some events; what does not fit is read by the next turn.
        const ROOM: usize = 1024;
        let mut room = [0; ROOM];
        loop {
            let events = match wait(&inotify) {
                Ok(false) => {
                    ring_all(bells);
                    continue;
                }
                Ok(true) => inotify.read_events(&mut room),
                Err(error) => Err(error.into()),
            };
            // It fails for reasons that stay: then the look a second has to do.
            let Ok(events) = events else {
                thread::sleep(SELDOM);
                ring_all(bells);
                continue;
            };
            for event in events {
                let bell = lock(bells).get(&event.wd).cloned();
                if let Some(bell) = bell {
                    bell.ring(Why::Change);
                }
            }
        }
    }

    /// True when there are events, false when a second is over.
    fn wait(inotify: &Inotify) -> Result<bool, Errno> {
        let second = Timespec {
            tv_sec: SELDOM.as_secs() as _,
            tv_nsec: 0,
        };
        match poll(&mut [PollFd::new(inotify, PollFlags::IN)], Some(&second)) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn ring_all(bells: &Bells) {
        let all: Vec<_> = lock(bells).values().cloned().collect();
        for bell in all {
            bell.ring(Why::Time);
        }
    }

    impl Bell {
        fn ring(&self, why: Why) {
            let waker = {
                let mut state = lock(&self.state);
                state.why = state.why.max(Some(why));
                state.waker.take()
            };
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// Nothing that can panic runs under these locks, so poison means nothing.
    fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(not(target_os = "linux"))]
mod none {
    use std::{
        path::Path,
        task::{Context, Poll},
    };

    /// Not told of here.
    #[derive(Debug)]
    pub(in super::super) enum Changes {}

    impl Changes {
        pub(super) fn prepare() {}

        pub(in super::super) fn of(_: [&Path; 2]) -> Option<Self> {
            None
        }

        pub(in super::super) fn poll(&mut self, _: &mut Context<'_>) -> Poll<bool> {
            match *self {}
        }
    }
}
