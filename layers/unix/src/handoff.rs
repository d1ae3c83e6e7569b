//! A listener's part of a handoff: its socket, its lock and its file go to another process, and none of the three is
//! closed, unlocked or removed.
//!
//! In: a listener, or its descriptors and its saved state. Out: the same, the other way round. May touch: copies of
//! descriptors.

use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixListener as ForeignListener},
};

use kyneta_uds_core::{Credentials, Saved, SavedError, SocketPath};
use tokio::net::{UnixListener, UnixStream};

use crate::{ConnectionPermit, bind::BoundPath, listener::Listener, options::ListenerOptions};

const VERSION: u32 = 1;

impl Listener {
    /// What a successor needs to go on with the path while this process serves it: copies of the socket and the lock,
    /// and what belongs to them. After the handoff, [`leave`](Self::leave).
    ///
    /// ```
    /// use kyneta_uds_unix::{Listener, ListenerOptions};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("bus.sock");
    /// let former = Listener::bind(&path).await?;
    /// let (descriptors, saved) = former.hand_over()?;
    /// // In the successor:
    /// let listener = ListenerOptions::new().resume(path.clone(), descriptors, &saved)?;
    /// former.leave();
    /// listener.listen_again()?;
    /// assert!(path.exists());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What the kernel says, such as that there are no descriptors left; and for a listener that was closed, or that
    /// has no file (an abstract name, or a socket that was handed over by systemd).
    pub fn hand_over(&self) -> io::Result<(Vec<OwnedFd>, Saved)> {
        let (Some(sockets), Some(bound)) = (self.sockets(), self.bound()) else {
            return Err(io::Error::other(
                "this listener has no file that could be handed over",
            ));
        };
        let mut descriptors = sockets.copies()?;
        let saved = Saved::new(VERSION, 1)
            .with("sockets", descriptors.len() as u64)
            .with("lock", bound.holds_lock())
            .with("device", bound.id().device)
            .with("inode", bound.id().inode);
        descriptors.extend(bound.copy_lock()?);
        Ok((descriptors, saved))
    }

    /// After a handoff: closes this process's descriptors. The file, the lock and those that wait to be accepted
    /// belong to the successor.
    pub fn leave(mut self) {
        self.take_apart();
    }

    /// The permit of a connection that a predecessor had admitted. It counts, and is not looked at again.
    pub fn readmit(&self, stream: &UnixStream) -> ConnectionPermit {
        let credentials = stream.peer_cred().ok();
        let credentials = credentials.map(|of| Credentials::new(of.uid(), of.gid(), of.pid()));
        self.admission().readmit(credentials)
    }

    /// Calls listen(2) once more, in the process that goes on: until then the kernel shows new clients its predecessor
    /// as the process that listens.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn listen_again(&self) -> io::Result<()> {
        self.sockets()
            .map_or(Ok(()), |sockets| sockets.listen_again())
    }
}

impl ListenerOptions {
    /// Goes on with a path that another process has bound, by what its [`Listener::hand_over`] has given. Accepts
    /// nothing yet. The mode of the file stays as it is. To be called in a tokio runtime.
    ///
    /// # Errors
    /// A state that is not understood, other descriptors than it says, or what the kernel says.
    pub fn resume<P>(
        self,
        path: P,
        descriptors: Vec<OwnedFd>,
        saved: &Saved,
    ) -> io::Result<Listener>
    where
        P: TryInto<SocketPath, Error: std::error::Error + Send + Sync + 'static>,
    {
        let path = path.try_into().map_err(io::Error::other)?;
        let state = State::of(saved).map_err(io::Error::other)?;
        if descriptors.len() != state.sockets + usize::from(state.lock) {
            return Err(io::Error::other(
                "other descriptors than the listener's state says",
            ));
        }
        let mut descriptors = descriptors.into_iter();
        let listener = |descriptor| {
            let listener = ForeignListener::from(descriptor);
            listener.set_nonblocking(true)?; // tokio panics on one that blocks
            UnixListener::from_std(listener)
        };
        let current = descriptors.next().map(listener);
        let current = current.ok_or_else(|| io::Error::other("no socket"))??;
        let former = descriptors.by_ref().take(state.sockets - 1).map(Into::into);
        let sockets = crate::accept::ListeningSockets::resume(current, former.collect());
        let lock = descriptors.next();
        let file = (state.device, state.inode);
        let bound = BoundPath::resume(path, self.bind_options(), file, lock)?;
        Ok(Listener::resumed(sockets, bound, self.limits))
    }
}

struct State {
    sockets: usize,
    lock: bool,
    device: u64,
    inode: u64,
}

impl State {
    fn of(saved: &Saved) -> Result<Self, SavedError> {
        saved.check("a listener", 1..=VERSION)?;
        let (name, why) = ("sockets", "a listener has one at least");
        let sockets = usize::try_from(saved.number(name)?).unwrap_or(usize::MAX);
        if !(1..=250).contains(&sockets) {
            return Err(SavedError::Value { name, why });
        }
        Ok(Self {
            sockets,
            lock: saved.flag("lock")?,
            device: saved.number("device")?,
            inode: saved.number("inode")?,
        })
    }
}

#[cfg(test)]
mod tests;
