//! Who is here: the directory behind its lock, its events, its clock.
//!
//! In: connections that open and close. Out: events about their peers, and the connections by peer.
//! May touch: tokio's clock, in one task as long as somebody is away.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use kyneta_uds_core::{DisconnectReason, PeerId};
use kyneta_uds_handshake::PeerInfo;
use tokio::{
    runtime,
    sync::watch,
    time::{Instant, sleep_until},
};

#[cfg(feature = "status")]
use crate::status::About;
use crate::{
    connection::Connection,
    directory::{Change, ChangeKind, Config, Directory, Key},
    event::{Event, EventSender, PeerChange},
};

/// The peers of a [`Server`](crate::Server), [`Client`](crate::Client) or [`Peer`](crate::Peer).
#[derive(Debug, Clone)]
pub(crate) struct Roster {
    inner: Arc<Inner>,
}

struct Inner {
    book: Mutex<Book>,
    events: EventSender,
    company: watch::Sender<Company>,
    #[cfg(feature = "status")]
    about: About,
}

struct Book {
    directory: Directory<Arc<Connection>, Arc<PeerInfo>>,
    /// A task waits for the next departure.
    waits: bool,
    /// How many messages have gone out and come in on connections that have ended.
    #[cfg(feature = "status")]
    passed: (u64, u64),
}

/// Whether anybody is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Company {
    /// Nobody is, or ever was.
    Never,
    /// As many connections.
    Here(usize),
    /// Nobody any more, since then.
    Gone(Instant),
}

impl Roster {
    pub(crate) fn new(events: EventSender) -> Self {
        Self {
            inner: Arc::new(Inner {
                book: Mutex::new(Book {
                    directory: Directory::new(Config::default()),
                    waits: false,
                    #[cfg(feature = "status")]
                    passed: (0, 0),
                }),
                events,
                company: watch::Sender::new(Company::Never),
                #[cfg(feature = "status")]
                about: About::default(),
            }),
        }
    }

    /// Whom this side is known as, and how long a peer may be away.
    pub(crate) fn configure(&self, own_id: PeerId, departure_timeout: Duration) {
        #[cfg(feature = "status")]
        self.about().is(own_id.clone());
        let config = Config {
            departure_timeout,
            own_id: Some(own_id),
            ..Config::default()
        };
        self.inner.book().directory.configure(config);
    }

    #[cfg(feature = "status")]
    pub(crate) fn about(&self) -> &About {
        &self.inner.about
    }

    /// All connections, and how many messages have gone out and come in on those that have ended.
    #[cfg(feature = "status")]
    pub(crate) fn present_and_passed(&self) -> (Vec<Connection>, (u64, u64)) {
        let book = self.inner.book();
        let present = book.directory.connections().map(Connection::of).collect();
        (present, book.passed)
    }

    /// A message goes to the handler whose connection has ended, and is counted no more.
    #[cfg(feature = "status")]
    #[cold]
    pub(crate) fn comes_in_late(&self) {
        self.inner.book().passed.1 += 1;
    }

    pub(crate) fn events(&self) -> &EventSender {
        &self.inner.events
    }

    /// A peer has introduced itself. It is here until its [`Presence`] is dropped.
    pub(crate) fn enter(&self, connection: Arc<Connection>) -> Presence {
        let peer = connection.shared_peer().clone();
        let id = peer.identity().peer_id.clone();
        let mut book = self.inner.book();
        let (key, changes) =
            book.directory
                .opened(&id, peer, connection.clone(), Instant::now().into_std());
        self.inner.tell(&mut book, changes, None);
        Presence {
            roster: self.clone(),
            connection,
            key: Some(key),
        }
    }

    /// The latest connection of a peer.
    pub(crate) fn connection(&self, id: &PeerId) -> Option<Connection> {
        let book = self.inner.book();
        book.directory.connection(id).map(Connection::of)
    }

    /// All connections of a peer, the latest last.
    pub(crate) fn connections_of(&self, id: &PeerId) -> Vec<Connection> {
        let book = self.inner.book();
        book.directory
            .connections_of(id)
            .map(Connection::of)
            .collect()
    }

    /// All connections, in no particular order.
    pub(crate) fn connections(&self) -> Vec<Connection> {
        let book = self.inner.book();
        book.directory.connections().map(Connection::of).collect()
    }

    pub(crate) fn connection_count(&self) -> usize {
        self.inner.book().directory.connection_count()
    }

    pub(crate) fn is_present(&self, id: &PeerId) -> bool {
        self.inner.book().directory.is_present(id)
    }

    pub(crate) fn company(&self) -> watch::Receiver<Company> {
        self.inner.company.subscribe()
    }
}

impl Inner {
    fn book(&self) -> MutexGuard<'_, Book> {
        // Nothing that can panic runs under the lock, so poison means nothing.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells of changes, in the order of the lock. `reason` is why a connection has closed.
    fn tell(
        self: &Arc<Self>,
        book: &mut Book,
        changes: Vec<Change<Arc<PeerInfo>>>,
        reason: Option<DisconnectReason>,
    ) {
        for Change { peer, kind } in changes {
            let change = match kind {
                ChangeKind::Established => PeerChange::Established,
                ChangeKind::Reconnected => PeerChange::Reconnected,
                ChangeKind::Departed => PeerChange::Departed,
                ChangeKind::Disconnected => PeerChange::Disconnected(
                    reason.clone().unwrap_or(DisconnectReason::Intentional),
                ),
                ChangeKind::Duplicate => {
                    self.events.send(Event::DuplicatePeer { peer });
                    continue;
                }
                ChangeKind::SelfConnection => {
                    self.events.send(Event::SelfConnection { peer });
                    continue;
                }
            };
            self.events.peer(&peer, change);
        }
        let count = book.directory.connection_count();
        self.company.send_if_modified(|company| {
            let now = match (count, *company) {
                (0, Company::Here(_)) => Company::Gone(Instant::now()),
                (0, company) => company,
                (count, _) => Company::Here(count),
            };
            std::mem::replace(company, now) != now
        });
        if !book.waits && book.directory.next_deadline().is_some() {
            self.wait_for_departures(book);
        }
    }

    /// Starts the task that tells of those who do not come back. It holds nobody.
    fn wait_for_departures(self: &Arc<Self>, book: &mut Book) {
        // Without a runtime, which has ended, there is nobody to be told.
        let Ok(runtime) = runtime::Handle::try_current() else {
            return;
        };
        book.waits = true;
        let roster = Arc::downgrade(self);
        runtime.spawn(async move {
            while let Some(deadline) = next_departure(&roster) {
                sleep_until(deadline).await;
            }
        });
    }
}

/// Tells of those who have departed by now; `None` when there is nobody left to wait for.
fn next_departure(roster: &Weak<Inner>) -> Option<Instant> {
    let inner = roster.upgrade()?;
    let mut book = inner.book();
    // Set while telling, so that no second task is started.
    let changes = book.directory.tick(Instant::now().into_std());
    inner.tell(&mut book, changes, None);
    let deadline = book.directory.next_deadline();
    book.waits = deadline.is_some();
    deadline.map(Instant::from_std)
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roster")
            .field("company", &*self.company.borrow())
            .finish_non_exhaustive()
    }
}

/// A connection's entry; gone with it.
#[derive(Debug)]
pub(crate) struct Presence {
    roster: Roster,
    connection: Arc<Connection>,
    key: Option<Key>,
}

impl Presence {
    /// The connection has ended; said once.
    pub(crate) fn leave(&mut self, reason: DisconnectReason) {
        let Some(key) = self.key.take() else { return };
        let departing = self.connection.peer().is_departing();
        let inner = &self.roster.inner;
        let mut book = inner.book();
        self.connection.ended(reason.clone());
        #[cfg(feature = "status")]
        {
            let tenure = self.connection.tenure();
            book.passed.0 += tenure.gone_out(self.connection.handle());
            book.passed.1 += tenure.come_in();
        }
        let changes = book
            .directory
            .closed(key, departing, Instant::now().into_std());
        inner.tell(&mut book, changes, Some(reason));
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.leave(DisconnectReason::Intentional);
    }
}
