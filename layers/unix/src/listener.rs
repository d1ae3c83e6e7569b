//! The listening end of a path.
//!
//! In: a path, or a socket that somebody else has opened. Out: accepted streams. May touch: the
//! path, its lock file and a temporary name beside it, and only what is still ours of them.

use std::{
    future::poll_fn,
    io,
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
};

use kyneta_uds_core::{SocketPath, SocketPathError};
use tokio::net::{UnixListener, UnixStream};

use crate::{
    accept::{
        Sockets,
        admission::{Door, Permit, Refusal, Rules},
        hang_up,
    },
    access_policy::Allow,
    bind::{self, BindError, Owned},
    credentials,
    directory::DirectoryRisk,
    watch::{machine::Lost, trigger::Notice},
};

/// A bound Unix socket. Dropping it closes it and removes its file, if the file is still its own.
///
/// Who can write to the directory can put another socket, or a link, in its place; [`risk`](Self::risk)
/// says when that is anybody else. No symbolic link is followed at the path, at its lock or at the
/// temporary name. In a directory with the sticky bit, such as /tmp, nobody can touch our files, but
/// anybody may take the names before us. Of an abstract name, anybody may, and anybody in the same
/// network namespace may connect: there the credentials are the only protection, on both sides.
///
/// ```
/// use kyneta_uds_unix::Listener;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("bus.sock");
/// let listener = Listener::bind(&path).await?;
/// let second = Listener::bind(&path).await;
/// assert!(second.unwrap_err().to_string().contains("in use"));
/// drop(listener);
/// assert!(!path.exists());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Listener {
    /// `None` once closed.
    sockets: Option<Sockets>,
    /// `None` when there is no file, or it is somebody else's to remove.
    owned: Option<Owned>,
    /// When to look after the path; from the first time that somebody asks on.
    notice: Option<Notice>,
    door: Arc<Door>,
}

/// What happens to a listener.
#[derive(Debug)]
#[non_exhaustive]
pub enum ListenerEvent {
    /// Somebody has connected; the permit is to be kept as long as the stream.
    Accepted(UnixStream, Permit),
    /// Somebody has connected, and was hung up on at once.
    Refused(Refusal),
    /// The path is not ours any more: nobody new can find us.
    Lost(Lost),
}

/// How a path is bound, and who may come in.
///
/// ```
/// use kyneta_uds_unix::{Allow, ListenerOptions};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("bus.sock");
/// let shared_with_www = ListenerOptions::new()
///     .mode(0o666)
///     .allow(Allow::same_uid().or(Allow::uids([33])))
///     .bind(&path)
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ListenerOptions {
    pub(crate) mode: u32,
    pub(crate) group: Option<u32>,
    pub(crate) cleanup: bool,
    pub(crate) inotify: bool,
    rules: Rules,
}

impl Default for ListenerOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl ListenerOptions {
    /// Mode 0600, the process's group, stale files removed, processes of our own user let in, 16,384 at once.
    pub fn new() -> Self {
        Self {
            mode: 0o600,
            group: None,
            cleanup: true,
            inotify: true,
            rules: Rules::new(),
        }
    }

    /// The file's permission bits, in force before the path is visible. 0600 by default. An
    /// abstract name has no file and so no mode: any user may connect, and the only protection is
    /// [`allow`](Self::allow).
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode & 0o777;
        self
    }

    /// The file's group, by number, in force before the path is visible: with a mode of 0660 its members may
    /// connect. Unless chosen it is the process's, or that of a directory with the setgid bit. A process
    /// without privileges may give a group that it is a member of (chown(2)). The lock beside the path gets
    /// it as well.
    pub fn group(mut self, gid: u32) -> Self {
        self.group = Some(gid);
        self
    }

    /// Whether a socket file behind which nobody listens any more is removed. True by default;
    /// when false, it is [`BindError::Stale`].
    pub fn cleanup(mut self, cleanup: bool) -> Self {
        self.cleanup = cleanup;
        self
    }

    /// Looks at the path every four seconds, in place of inotify(7): for sockets of which each process of a
    /// user has one, such as that of [its status], because a user has 128 inotify instances.
    ///
    /// [its status]: https://docs.rs/kyneta-uds/latest/kyneta_uds/status/struct.Endpoint.html
    pub fn without_inotify(mut self) -> Self {
        self.inotify = false;
        self
    }

    /// Whom to let in, on top of what the file's mode and its directory say.
    /// [`Allow::same_uid`] by default. Who is refused is hung up on before anything is read
    /// ([`ListenerEvent::Refused`]).
    pub fn allow(mut self, allow: Allow) -> Self {
        self.rules.allow = allow;
        self
    }

    /// Whom it lets in.
    pub fn allows(&self) -> &Allow {
        &self.rules.allow
    }

    /// How many connections may be open at once, those in their handshake among them. 16,384 by
    /// default. Each takes a file descriptor: see `ulimit -n`.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.rules.max_connections = connections;
        self
    }

    /// How many of them may be of one user. By default three quarters of
    /// [`max_connections`](Self::max_connections).
    pub fn max_connections_per_uid(mut self, connections: usize) -> Self {
        self.rules.max_per_uid = Some(connections);
        self
    }

    /// How many connections a second processes of one user may make, on average; twice as many at once.
    /// Further ones are hung up on ([`Refusal::TooFast`]). 10,000 by default; with `u32::MAX` there is no
    /// bound, with 0 no connection is accepted. Those that are not allowed in do not count.
    pub fn max_accepts_per_uid(mut self, per_second: u32) -> Self {
        self.rules.accept_rate = per_second;
        self
    }

    /// How many log lines a minute are written of those who are refused. 60 by default; the line after
    /// says how many were left out. Each is an event all the same.
    pub fn log_lines(mut self, per_minute: u32) -> Self {
        self.rules.log_lines = per_minute;
        self
    }

    /// Of the lock beside the path. Whoever can open it can hold it, and so keep others from listening:
    /// with those alone allowed who are our own user, nobody else needs to.
    pub(crate) fn lock_access(&self) -> (u32, Option<u32>) {
        match self.rules.allow.is_same_uid() {
            true => (0o600, None),
            false => (self.mode, self.group),
        }
    }

    /// Takes over a socket that somebody else has opened (socket activation): its file, if it has
    /// one, is never removed, and its mode is as it is.
    pub fn adopt(self, socket: UnixListener) -> Listener {
        Listener::new(socket, None, self.rules)
    }

    /// Binds a path. Never two at once: a lock beside the path (`PATH.lock`) decides among those
    /// who keep it, and a live listener is never replaced. The path appears with its mode set and
    /// with somebody listening behind it.
    ///
    /// # Errors
    /// [`BindError`] says what is in the way, with the path. No file is touched but a stale socket
    /// file, and that one unless [`cleanup`](Self::cleanup) is off.
    pub async fn bind<P>(self, path: P) -> Result<Listener, BindError>
    where
        P: TryInto<SocketPath>,
        SocketPathError: From<P::Error>,
    {
        let path = path.try_into().map_err(SocketPathError::from)?;
        match path.as_pathname() {
            Some(_) => {
                let rules = self.rules.clone();
                let (socket, owned) = bind::bind(path, self).await?;
                Ok(Listener::new(socket, Some(owned), rules))
            }
            None => Ok(self.adopt(bind::bind_abstract(&path)?)),
        }
    }
}

impl Listener {
    fn new(socket: UnixListener, owned: Option<Owned>, rules: Rules) -> Self {
        Self {
            sockets: Some(socket.into()),
            owned,
            notice: None,
            door: Door::new(rules),
        }
    }

    /// Binds a path with [`ListenerOptions::new`].
    ///
    /// # Errors
    /// As [`ListenerOptions::bind`].
    pub async fn bind<P>(path: P) -> Result<Self, BindError>
    where
        P: TryInto<SocketPath>,
        SocketPathError: From<P::Error>,
    {
        ListenerOptions::new().bind(path).await
    }

    /// Where it listens, as given when it was bound. `None` of an abstract name and of a socket that was
    /// handed over, and once closed.
    pub fn path(&self) -> Option<&SocketPath> {
        Some(self.owned.as_ref()?.path())
    }

    /// What others may do to the path because of the directory that it is in; it is logged as a
    /// warning, too, when the path is bound. `None` of a directory that nobody but its owner, this
    /// user or root, can replace a file in; of an abstract name, which has none; and of a socket that
    /// was handed over, which is not looked at.
    pub fn risk(&self) -> Option<&DirectoryRisk> {
        self.owned.as_ref()?.risk()
    }

    /// The next connection, and its place among those allowed at once: keep it as long. Never fails:
    /// a connection that was given up before it was accepted is skipped, one that is refused is
    /// closed, with a log line, and out of file descriptors it waits and tries again, every 100 ms, with
    /// one line in the log when that begins and one when it is over. Pending for ever once closed.
    ///
    /// Cancel safe.
    pub async fn accept(&mut self) -> (UnixStream, Permit) {
        loop {
            let stream = accept(&mut self.sockets).await;
            if let ListenerEvent::Accepted(stream, permit) = admit(&self.door, stream) {
                return (stream, permit);
            }
        }
    }

    /// The next connection, as [`accept`](Self::accept), or who was refused, or that the path is not
    /// ours any more. That is noticed while this is asked: on Linux as soon as the kernel tells
    /// (inotify(7)), else within a second, as on Linux where the user has no inotify instance left; and as
    /// long as the path stays lost it is said again, after pauses that grow from 100 ms to one second. A
    /// directory above it that is renamed is noticed within four seconds.
    /// A lock file that somebody has removed is made and locked again without a word. A socket that
    /// was handed over and an abstract name are not watched.
    ///
    /// Cancel safe.
    ///
    /// ```
    /// use kyneta_uds_unix::{Listener, ListenerEvent, Lost};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("bus.sock");
    /// let mut listener = Listener::bind(&path).await?;
    /// std::fs::remove_file(&path)?;
    /// assert!(matches!(listener.next().await, ListenerEvent::Lost(Lost::Gone)));
    /// listener.restore().await?;
    /// assert!(path.exists());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn next(&mut self) -> ListenerEvent {
        self.begin_to_watch();
        let Self {
            sockets,
            owned,
            notice,
            door,
        } = self;
        let mut accepted = pin!(accept(sockets));
        poll_fn(|cx| {
            if let (Some(owned), Some(notice)) = (&mut *owned, &mut *notice)
                && let Some(lost) = look_after(owned, notice, cx)
            {
                return Poll::Ready(ListenerEvent::Lost(lost));
            }
            let stream = accepted.as_mut().poll(cx);
            stream.map(|stream| admit(door, stream))
        })
        .await
    }

    /// When the process is killed, what others wait for is to be closed before its inotify instance: the
    /// socket, the lock, and the connections that are accepted from now on. So these have higher numbers.
    fn begin_to_watch(&mut self) {
        let (Some(sockets), Some(owned), None) = (&mut self.sockets, &mut self.owned, &self.notice)
        else {
            return;
        };
        if owned.inotify() {
            // The instance takes the lowest number that is free.
            let highest = sockets.descriptor().max(owned.lock_descriptor());
            sockets.raise_above(highest);
            owned.raise_lock_above(highest);
        }
        let notice = Notice::of(owned.files(), owned.inotify());
        if let Some(inotify) = notice.descriptor() {
            sockets.raise_above(inotify);
            owned.raise_lock_above(inotify);
        }
        self.notice = Some(notice);
    }

    /// Puts a new socket in the path's place when nothing, or a stale file, is there. Those who wait
    /// to be accepted are still accepted. Nothing changes while the path is ours. It waits 20 ms
    /// first: who removes a path is often about to bind it.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// As [`ListenerOptions::bind`]; [`BindError::InUse`] when the path, or the lock beside it, is
    /// somebody else's now. This listener goes on as it was.
    pub async fn restore(&mut self) -> Result<(), BindError> {
        if let (Some(sockets), Some(owned)) = (&mut self.sockets, &mut self.owned)
            && let Some(socket) = owned.restore().await?
        {
            sockets.replace(socket);
            self.notice = None;
        }
        Ok(())
    }

    /// Removes the file, if it is still ours, gives up the lock, so that the next one can take over at
    /// once, and closes the socket. Those who wait to be accepted get an orderly end.
    ///
    /// # Errors
    /// When the file could not be removed.
    pub fn close(&mut self) -> io::Result<()> {
        // That we remove it ourselves is no news.
        self.notice = None;
        // The file first, so that nobody comes while the backlog is emptied.
        let removed = self.owned.take().map_or(Ok(()), Owned::remove);
        if let Some(sockets) = self.sockets.take() {
            sockets.turn_away();
        }
        removed
    }
}

impl From<UnixListener> for Listener {
    /// As [`ListenerOptions::adopt`], for processes of our own user.
    fn from(socket: UnixListener) -> Self {
        ListenerOptions::new().adopt(socket)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(%error, "the socket file could not be removed");
        }
    }
}

/// Asks at the door. Who may not come in is hung up on.
fn admit(door: &Arc<Door>, stream: UnixStream) -> ListenerEvent {
    match door.admit(credentials::of(&stream)) {
        Ok(permit) => ListenerEvent::Accepted(stream, permit),
        Err(refusal) => {
            hang_up(stream);
            ListenerEvent::Refused(refusal)
        }
    }
}

/// Pending for ever once closed.
async fn accept(sockets: &mut Option<Sockets>) -> UnixStream {
    match sockets {
        Some(sockets) => sockets.accept().await,
        None => std::future::pending().await,
    }
}

/// Looks when it is time to, and is woken when it is again.
fn look_after(owned: &mut Owned, notice: &mut Notice, cx: &mut Context<'_>) -> Option<Lost> {
    loop {
        let Poll::Ready(changed) = notice.poll_due(cx) else {
            return None;
        };
        let known = notice.knows_of_a_loss();
        let lost = owned.watch();
        if let Some(lost) = lost {
            // Once a loss, however often it is asked for.
            if !known {
                tracing::warn!(?lost, "the path is not ours any more");
            }
            notice.lose();
            return Some(lost);
        }
        if changed || known {
            // The files may be others from now on. The former watch ends after the next has begun, so
            // that the process keeps its inotify instance.
            *notice = Notice::of(owned.files(), owned.inotify());
        } else {
            notice.wake_always(!owned.holds_lock());
        }
    }
}
