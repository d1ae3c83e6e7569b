//! The inotify thread: reports that a file was unlinked, replaced or moved (inotify(7)).
//!
//! In: files. Out: a [`Notify`] for each change. May touch: one inotify instance and one thread per process,
//! both only while files are watched.
//!
//! A user has 128 instances (`fs.inotify.max_user_instances`), which other programs need as well. So a
//! process opens one for its first listener, and closes it with the last.
//!
//! Closing an instance takes some ten milliseconds, because it waits for other readers in the kernel; so the
//! thread closes it, not a task. A killed process closes its descriptors from the highest to the lowest. The
//! instance must have a lower number than the connections, whose peers wait for the end: from kill(2) to the
//! end of a connection, median and longest of 15, it took 0.9 and 1.5 ms without an instance, 1.1 and 6.5 ms
//! with a lower number, 3.5 and 17 ms with a higher one. So the instance is opened before the first connection
//! is accepted, and a listener moves its socket and its lock up, so that the instance gets the lower number.

use std::{
    collections::HashMap,
    io,
    mem::MaybeUninit,
    os::fd::{AsRawFd as _, OwnedFd, RawFd},
    path::Path,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use rustix::{
    fs::inotify::{CreateFlags, Reader, WatchFlags, add_watch, init, remove_watch},
    io::Errno,
};

use super::{
    notify::{Notify, Reason},
    per_process::PerProcess,
};
use crate::mutex::lock;

#[derive(Default)]
struct Inotify {
    open: Mutex<Option<Instance>>,
    /// An error was logged.
    logged: AtomicBool,
}

fn current() -> &'static PerProcess<Inotify> {
    static INOTIFY: OnceLock<PerProcess<Inotify>> = OnceLock::new();
    PerProcess::current(&INOTIFY)
}

struct Instance {
    descriptor: Arc<OwnedFd>,
    /// By watch descriptor.
    notifies: HashMap<i32, Arc<Notify>>,
}

/// Two files whose changes are reported until this is dropped.
#[derive(Debug)]
pub(super) struct FileWatches {
    inotify: &'static PerProcess<Inotify>,
    notify: Arc<Notify>,
    watched: Vec<i32>,
}

impl FileWatches {
    /// Notifies at each change of these files.
    ///
    /// # Errors
    /// When the user has no instance or watch left, or a file cannot be read. Logged once per process.
    pub(super) fn of(files: [&Path; 2], notify: &Arc<Notify>) -> io::Result<Self> {
        let inotify = current();
        let mut this = Self {
            inotify,
            notify: notify.clone(),
            watched: Vec::new(),
        };
        let added = files.into_iter().try_for_each(|file| this.add(file));
        if let Err(error) = &added
            && error.kind() != io::ErrorKind::NotFound
            && !inotify.value.logged.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                %error,
                "inotify cannot be used: the socket's path is checked once a second instead; \
                 see fs.inotify.max_user_instances and max_user_watches"
            );
        }
        added.map(|()| this)
    }

    /// The instance's descriptor.
    pub(super) fn descriptor(&self) -> Option<RawFd> {
        let open = lock(&self.inotify.value.open);
        open.as_ref()
            .map(|instance| instance.descriptor.as_raw_fd())
    }

    fn add(&mut self, file: &Path) -> io::Result<()> {
        let which = WatchFlags::ATTRIB
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::DONT_FOLLOW;
        // Under the lock, so that each event finds its entry.
        let mut open = lock(&self.inotify.value.open);
        let instance = Instance::get(&mut open, &self.inotify.value)?;
        let watch = add_watch(&*instance.descriptor, file, which)?;
        instance.notifies.insert(watch, self.notify.clone());
        self.watched.push(watch);
        Ok(())
    }
}

impl Drop for FileWatches {
    fn drop(&mut self) {
        // A forked child shares the instance with its parent, which still needs these watches.
        if !self.inotify.is_current() {
            return;
        }
        let mut open = lock(&self.inotify.value.open);
        let Some(Instance {
            descriptor,
            notifies,
        }) = &mut *open
        else {
            return;
        };
        for watch in self.watched.drain(..) {
            // The same file, watched again, has the same watch descriptor and another `Notify`.
            let is_ours = |notify: &Arc<Notify>| Arc::ptr_eq(notify, &self.notify);
            if notifies.get(&watch).is_some_and(is_ours) {
                notifies.remove(&watch);
                // It may be gone with its file.
                let _ = remove_watch(&**descriptor, watch);
            }
        }
        if notifies.is_empty() {
            wake(descriptor);
        }
    }
}

/// Wakes the thread, which then sees that no file is watched any more: the kernel reports the end of a watch.
fn wake(descriptor: &OwnedFd) {
    if let Ok(watch) = add_watch(descriptor, "/", WatchFlags::DELETE_SELF) {
        let _ = remove_watch(descriptor, watch);
    }
}

/// Opens the instance, if it is not open and can be opened.
pub(super) fn prepare() {
    let inotify = &current().value;
    // An error here occurs again, and is logged, when a file is watched.
    let _ = Instance::get(&mut lock(&inotify.open), inotify);
}

impl Inotify {
    /// The thread: notifies until no file is watched any more.
    fn run(&self, descriptor: &OwnedFd) {
        /// Bytes of events per read(2): some 60 events.
        const ROOM: usize = 1024;
        let mut room = [MaybeUninit::uninit(); ROOM];
        let mut events = Reader::new(descriptor, &mut room);
        loop {
            let watch = match events.next() {
                Ok(event) => event.wd(),
                Err(Errno::INTR) => continue,
                Err(error) => {
                    tracing::error!(%error, "inotify has failed; paths are polled instead");
                    lock(&self.open).take();
                    return;
                }
            };
            let mut open = lock(&self.open);
            let Some(instance) = &*open else { return };
            let notify = instance.notifies.get(&watch).cloned();
            if instance.notifies.is_empty() {
                open.take();
                return;
            }
            drop(open);
            if let Some(notify) = notify {
                notify.notify(Reason::Change);
            }
        }
    }
}

impl Instance {
    fn get<'a>(open: &'a mut Option<Self>, inotify: &'static Inotify) -> io::Result<&'a mut Self> {
        let instance = match open.take() {
            Some(instance) => instance,
            None => Self::start(inotify)?,
        };
        Ok(open.insert(instance))
    }

    fn start(inotify: &'static Inotify) -> io::Result<Self> {
        let descriptor = Arc::new(init(CreateFlags::CLOEXEC)?);
        let thread = thread::Builder::new().name("kyneta-uds-paths".to_owned());
        thread.spawn({
            let descriptor = descriptor.clone();
            move || inotify.run(&descriptor)
        })?;
        Ok(Self {
            descriptor,
            notifies: HashMap::new(),
        })
    }
}
