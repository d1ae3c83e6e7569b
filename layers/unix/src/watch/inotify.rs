//! The kernel's word that a file was unlinked, replaced or moved: inotify(7).
//!
//! In: files. Out: a rung [`Bell`] for each change. May touch: one inotify instance and one thread per
//! process, both only while files are watched. The thread sleeps until the kernel has something to tell.
//!
//! A user has 128 instances (`fs.inotify.max_user_instances`), which other programs need as well. So a
//! process opens one when it first watches a path as its listener, and closes it with the last of them.
//!
//! Closing an instance waits for other readers in the kernel, some ten milliseconds. The thread closes it,
//! not a task. A killed process closes its descriptors from the highest to the lowest, so the instance must
//! have a lower number than what others wait for: measured from kill(2) to the end of a connection, median and
//! longest of 15: 0.9 and 1.5 ms without, 1.1 and 6.5 ms with a lower, 3.5 and 17 ms with a higher one. So
//! it is opened before the first connection is accepted, and a listener moves its socket and its lock up, so that
//! the instance gets one of their numbers.

use std::{
    collections::HashMap,
    io,
    mem::MaybeUninit,
    os::fd::{AsRawFd as _, OwnedFd, RawFd},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use rustix::{
    fs::inotify::{CreateFlags, Reader, WatchFlags, add_watch, init, remove_watch},
    io::Errno,
};

use super::{Bell, Process, Why, lock};

#[derive(Debug, Default)]
pub(crate) struct Inotify {
    open: Mutex<Option<Instance>>,
    /// That it cannot be had was told.
    told: AtomicBool,
}

#[derive(Debug)]
struct Instance {
    inotify: Arc<OwnedFd>,
    /// By watch descriptor.
    bells: HashMap<i32, Arc<Bell>>,
}

/// Changes to some files, told until this is dropped.
#[derive(Debug)]
pub(crate) struct Watches {
    process: &'static Process,
    bell: Arc<Bell>,
    watched: Vec<i32>,
}

impl Watches {
    /// Rings the bell at each change of these files.
    ///
    /// # Errors
    /// When the user has no instance or watch left, or a file cannot be read. The first time in a process
    /// it is logged.
    pub(crate) fn of(files: [&Path; 2], bell: &Arc<Bell>) -> io::Result<Self> {
        let process = Process::current();
        let mut this = Self {
            process,
            bell: bell.clone(),
            watched: Vec::new(),
        };
        let added = files.into_iter().try_for_each(|file| this.add(file));
        if let Err(error) = &added
            && error.kind() != io::ErrorKind::NotFound
            && !process.inotify.told.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                %error,
                "inotify cannot be used: the socket's path is looked at once a second instead; \
                 see fs.inotify.max_user_instances and max_user_watches"
            );
        }
        added.map(|()| this)
    }

    /// The number of the instance's descriptor.
    pub(crate) fn descriptor(&self) -> Option<RawFd> {
        let open = lock(&self.process.inotify.open);
        open.as_ref().map(|instance| instance.inotify.as_raw_fd())
    }

    fn add(&mut self, file: &Path) -> io::Result<()> {
        let which = WatchFlags::ATTRIB
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::DONT_FOLLOW;
        // Under the lock, so that no event of it finds no bell.
        let mut open = lock(&self.process.inotify.open);
        let instance = Instance::get(&mut open, self.process)?;
        let watch = add_watch(&*instance.inotify, file, which)?;
        instance.bells.insert(watch, self.bell.clone());
        self.watched.push(watch);
        Ok(())
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        // A forked child shares the instance with its parent, whose watches these are.
        if !self.process.is_current() {
            return;
        }
        let mut open = lock(&self.process.inotify.open);
        let Some(Instance { inotify, bells }) = &mut *open else {
            return;
        };
        for watch in self.watched.drain(..) {
            // The same file, watched anew, has the same descriptor and another bell.
            let is_ours = |bell: &Arc<Bell>| Arc::ptr_eq(bell, &self.bell);
            if bells.get(&watch).is_some_and(is_ours) {
                bells.remove(&watch);
                // It may be gone with its file.
                let _ = remove_watch(&**inotify, watch);
            }
        }
        if bells.is_empty() {
            wake(inotify);
        }
    }
}

/// Wakes the thread, which sees then that no file is watched any more: the kernel tells of the end of a
/// watch.
fn wake(inotify: &OwnedFd) {
    if let Ok(watch) = add_watch(inotify, "/", WatchFlags::DELETE_SELF) {
        let _ = remove_watch(inotify, watch);
    }
}

impl Inotify {
    /// Opens the instance, if it is not open and can be had.
    pub(crate) fn prepare(&self, process: &'static Process) {
        // What fails here fails again, and is told, when it is needed.
        let _ = Instance::get(&mut lock(&self.open), process);
    }

    /// Rings the bells until no file is watched any more.
    fn listen(&self, inotify: &OwnedFd) {
        /// Bytes of events per read(2): some 60 events.
        const ROOM: usize = 1024;
        let mut room = [MaybeUninit::uninit(); ROOM];
        let mut events = Reader::new(inotify, &mut room);
        loop {
            let watch = match events.next() {
                Ok(event) => event.wd(),
                Err(Errno::INTR) => continue,
                Err(error) => {
                    tracing::error!(%error, "inotify has failed; paths are looked at instead");
                    lock(&self.open).take();
                    return;
                }
            };
            let mut open = lock(&self.open);
            let Some(instance) = &*open else { return };
            let bell = instance.bells.get(&watch).cloned();
            if instance.bells.is_empty() {
                open.take();
                return;
            }
            drop(open);
            if let Some(bell) = bell {
                bell.ring(Why::Change);
            }
        }
    }
}

impl Instance {
    fn get<'a>(open: &'a mut Option<Self>, process: &'static Process) -> io::Result<&'a mut Self> {
        let instance = match open.take() {
            Some(instance) => instance,
            None => Self::start(process)?,
        };
        Ok(open.insert(instance))
    }

    fn start(process: &'static Process) -> io::Result<Self> {
        let inotify = Arc::new(init(CreateFlags::CLOEXEC)?);
        let thread = thread::Builder::new().name("kyneta-uds-paths".to_owned());
        thread.spawn({
            let inotify = inotify.clone();
            move || process.inotify.listen(&inotify)
        })?;
        Ok(Self {
            inotify,
            bells: HashMap::new(),
        })
    }
}
