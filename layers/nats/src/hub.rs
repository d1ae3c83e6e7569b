//! What all sessions of an engine share: the server, and which sessions there are.
//!
//! In: names. Out: sessions. May touch: the server, a task for each session.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use async_nats::{Client, connection::State, jetstream};
use kyneta_uds_core::ignore_poison;
use kyneta_uds_machines::MachineName;
use tokio_util::task::TaskTracker;

use crate::{
    drive::drive,
    frame::{Frame, SessionId},
    names::Subjects,
    session::{End, Session},
    settings::NatsSettings,
};

/// How many sessions there may be at once, of all machines together.
const MAX_SESSIONS: usize = 1024;

/// A session with a task. Where that panics, the stream of the session ends, too.
struct Driven {
    hub: Arc<Hub>,
    session: Arc<Session>,
    key: (MachineName, SessionId),
}

impl Drop for Driven {
    fn drop(&mut self) {
        if thread::panicking() {
            self.session.end(End::Closed);
        }
        self.hub.sessions().remove(&self.key);
    }
}

/// A machine at a server.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) me: MachineName,
    pub(crate) client: Client,
    pub(crate) server: jetstream::Context,
    pub(crate) settings: NatsSettings,
    /// Another process has this machine's name.
    is_replaced: AtomicBool,
    sessions: Mutex<HashMap<(MachineName, SessionId), Arc<Session>>>,
    tasks: TaskTracker,
}

impl Hub {
    pub(crate) fn new(
        me: MachineName,
        client: Client,
        server: jetstream::Context,
        settings: NatsSettings,
    ) -> Self {
        Self {
            me,
            client,
            server,
            settings,
            is_replaced: AtomicBool::new(false),
            sessions: Mutex::default(),
            tasks: TaskTracker::new(),
        }
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<(MachineName, SessionId), Arc<Session>>> {
        ignore_poison(self.sessions.lock())
    }

    pub(crate) fn session(&self, machine: &MachineName, id: SessionId) -> Option<Arc<Session>> {
        self.sessions().get(&(machine.clone(), id)).cloned()
    }

    /// A new session, with a task of its own. `None` if it is known, or there are too many.
    pub(crate) fn begin(
        self: &Arc<Self>,
        machine: &MachineName,
        id: SessionId,
        opens: bool,
    ) -> Option<Arc<Session>> {
        let key = (machine.clone(), id);
        let session = Arc::new(Session::new(self.settings.window, opens));
        let mut sessions = self.sessions();
        if sessions.len() >= MAX_SESSIONS || sessions.contains_key(&key) {
            return None;
        }
        sessions.insert(key.clone(), session.clone());
        drop(sessions);
        let driven = Driven {
            hub: self.clone(),
            session: session.clone(),
            key,
        };
        self.tasks.spawn(async move {
            let (machine, id) = &driven.key;
            drive(&driven.hub, &driven.session, machine, *id).await;
        });
        Some(session)
    }

    /// Another process has the name: no session goes on.
    pub(crate) fn replaced(&self) {
        self.is_replaced.store(true, Ordering::Relaxed);
        self.end_all(End::Replaced);
    }

    pub(crate) fn is_replaced(&self) -> bool {
        self.is_replaced.load(Ordering::Relaxed)
    }

    pub(crate) fn end_all(&self, end: End) {
        let all: Vec<_> = self.sessions().values().cloned().collect();
        all.iter().for_each(|session| session.end(end));
    }

    /// Ready when no session is left, and none can begin that is waited for.
    pub(crate) async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Tells a machine that this side has no such session. It may be lost: then the other side ends by its times.
    pub(crate) async fn reset(&self, machine: &MachineName, id: SessionId) {
        let subject = Subjects::new(&self.me, machine).data;
        let sent = self.server.publish(subject, Frame::Reset.encode(id)).await;
        if let Err(error) = sent {
            tracing::debug!(%machine, %error, "a reset was not sent");
        }
    }
}
