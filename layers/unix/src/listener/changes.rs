//! The kernel's word that a file was unlinked, replaced or moved: inotify(7), where there is one.
//!
//! In: files. Out: a wake when something has happened to one of them. May touch: one inotify
//! descriptor and one thread, which sleeps in read(2), for the whole process.
//!
//! One for all, and never closed: closing an inotify descriptor waits for the kernel's other readers,
//! some ten milliseconds. A process that is killed closes its descriptors from the highest to the
//! lowest, and whoever waits for its end waits for that, too; so this one is to be opened
//! [early](prepare). Measured from kill(2) to the end of a connection, median and longest of 15: 0.9
//! and 1.5 ms without, 1.1 and 6.5 ms with a lower, 3.5 and 17 ms with a higher descriptor.

#[cfg(target_os = "linux")]
pub(super) use linux::Changes;
#[cfg(target_os = "linux")]
pub use linux::prepare;
#[cfg(not(target_os = "linux"))]
pub(super) use none::Changes;
#[cfg(not(target_os = "linux"))]
pub use none::prepare;

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

    /// Readies the process for being told of changes to a listener's files. Best done before it
    /// makes its first connection; done by itself, but later, with the first [`Listener`] that asks
    /// whether its path is still its own. Once a process is enough; more do nothing.
    ///
    /// ```
    /// kyneta_uds_unix::prepare();
    /// ```
    ///
    /// [`Listener`]: crate::Listener
    pub fn prepare() {
        Changes::teller();
    }

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
        rung: bool,
        waker: Option<Waker>,
    }

    /// Changes to some files.
    #[derive(Debug)]
    pub(in super::super) struct Changes {
        bell: Arc<Bell>,
        watched: Vec<WatchDescriptor>,
    }

    impl Changes {
        /// `None` when the kernel will not tell: out of watches, or a file that we may not read.
        pub(in super::super) fn of(files: [&Path; 2]) -> Option<Self> {
            let teller = Self::teller()?;
            let which = WatchMask::ATTRIB
                | WatchMask::DELETE_SELF
                | WatchMask::MOVE_SELF
                | WatchMask::DONT_FOLLOW;
            let mut this = Self {
                bell: Arc::default(),
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

        /// Ready when something has happened, whatever it was.
        pub(in super::super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
            let mut state = lock(&self.bell.state);
            if std::mem::take(&mut state.rung) {
                return Poll::Ready(());
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
        // It fails for reasons that stay: then the look a second has to do.
        while let Ok(events) = inotify.read_events_blocking(&mut room) {
            for event in events {
                let bell = lock(bells).get(&event.wd).cloned();
                if let Some(bell) = bell {
                    bell.ring();
                }
            }
        }
    }

    impl Bell {
        fn ring(&self) {
            let waker = {
                let mut state = lock(&self.state);
                state.rung = true;
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

    /// Readies the process for being told of changes to a listener's files: nothing to do here.
    pub fn prepare() {}

    /// Not told of here.
    #[derive(Debug)]
    pub(in super::super) enum Changes {}

    impl Changes {
        pub(in super::super) fn of(_: [&Path; 2]) -> Option<Self> {
            None
        }

        pub(in super::super) fn poll(&mut self, _: &mut Context<'_>) -> Poll<()> {
            match *self {}
        }
    }
}
