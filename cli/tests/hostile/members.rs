//! Members of a hub that do round trips through it, on a thread of their own: of each pair one offers a change of a
//! document that both hold, and the other answers with a change of its own.

use std::{
    convert::Infallible,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::sync_channel,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use kyneta_uds::{
    ChannelMsg, Client, DocEntry, DocId, Incoming, Interest, Offer, ReplicaType, SchemaHash,
    Version,
};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tower::service_fn;

use crate::support::common::service;

/// A round trip.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trip {
    /// Of which pair.
    pub(crate) pair: u32,
    /// When it was due.
    pub(crate) due: Instant,
    /// How long it took from then on.
    pub(crate) took: Duration,
}

/// The document of the first pair.
pub(crate) const SHARED: &str = "shared-0";
/// The schema of these documents.
pub(crate) const SCHEMA: &str = "02aa";

/// Bytes of a change, and of all that a holder answers.
const DATA: usize = 64;

pub(crate) fn doc(doc: &str) -> DocId {
    DocId::new(doc).unwrap()
}

/// An entry of a document that many may write.
pub(crate) fn entry(id: &str, schema: &'static str) -> DocEntry {
    let loro = ReplicaType::new("loro", 1.0, 0.0).unwrap();
    DocEntry::new(doc(id), loro, SchemaHash::new(schema).unwrap())
}

pub(crate) fn change(id: &str, version: String) -> Offer {
    Offer::binary(doc(id), Version::new(version).unwrap(), vec![7; DATA]).delta()
}

pub(crate) struct Members {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Trip>>,
}

impl Members {
    /// `pairs` of members, each with one round trip in each interval `every`.
    pub(crate) fn start(path: &Path, pairs: u32, every: Duration) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let (path, until) = (path.to_owned(), stop.clone());
        let (ready, all_ready) = sync_channel(0);
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async {
                let mut joined = Vec::new();
                for pair in 0..pairs {
                    joined.push(Pair::join(&path, pair).await);
                }
                ready.send(()).unwrap();
                let start = Instant::now();
                let mut all = JoinSet::new();
                for pair in joined {
                    // Spread over the interval.
                    let first = start + every * pair.number / pairs;
                    all.spawn(pair.round_trips(first, every, until.clone()));
                }
                all.join_all().await.concat()
            })
        });
        all_ready.recv().unwrap();
        Self { stop, thread }
    }

    /// All round trips; each was answered.
    pub(crate) fn finish(self) -> Vec<Trip> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

struct Pair {
    number: u32,
    id: String,
    calls: Client,
    _answers: Client,
    /// The versions of the answers.
    answered: mpsc::UnboundedReceiver<String>,
}

impl Pair {
    async fn join(path: &PathBuf, number: u32) -> Self {
        let id = format!("shared-{number}");
        let (sender, answered) = mpsc::unbounded_channel();
        let (ours, answers) = (id.clone(), id.clone());
        let caller = service_fn(move |incoming: Incoming| {
            if let ChannelMsg::Offer(offer) = &incoming.message {
                let _ = sender.send(offer.version.to_string());
            }
            answer(ours.clone(), incoming, "")
        });
        let answering = service_fn(move |incoming| answer(answers.clone(), incoming, "call "));
        let name = |role: &str| service(&format!("{role}-{number}"));
        let mut members = Vec::new();
        let client = Client::builder(path).identity(name("answers"));
        members.push(client.connect(answering).await.unwrap());
        let client = Client::builder(path).identity(name("calls"));
        members.push(client.connect(caller).await.unwrap());
        for member in &mut members {
            let present = ChannelMsg::Present(vec![entry(&id, SCHEMA)]);
            member.queue(present).await.unwrap();
            let interest = Interest::new(doc(&id));
            member.queue(interest.into()).await.unwrap();
        }
        let [_answers, calls] = <[Client; 2]>::try_from(members).unwrap();
        Self {
            number,
            id,
            calls,
            _answers,
            answered,
        }
    }

    /// A round trip that begins late because the one before it has not ended counts from when it was due. One
    /// that begins late because this thread was late does not.
    async fn round_trips(
        mut self,
        mut due: Instant,
        every: Duration,
        until: Arc<AtomicBool>,
    ) -> Vec<Trip> {
        let mut trips = Vec::new();
        for number in 0_u64.. {
            let late = due <= Instant::now();
            sleep_until(due).await;
            if until.load(Ordering::SeqCst) {
                break;
            }
            let began = if late { due } else { Instant::now() };
            let call = change(&self.id, format!("call {number}"));
            self.calls.queue(call.into()).await.unwrap();
            let expected = format!("back {number}");
            while self.answered.recv().await.unwrap() != expected {}
            trips.push(Trip {
                pair: self.number,
                due,
                took: began.elapsed(),
            });
            due += every;
        }
        trips
    }
}

/// What a holder does with a message: it answers each interest, and each change whose version begins with `calls`.
async fn answer(id: String, incoming: Incoming, calls: &str) -> Result<(), Infallible> {
    let answer = match &incoming.message {
        ChannelMsg::Interest(interest) if interest.doc.as_str() == id => {
            Some(change(&id, "all".to_owned()).reciprocate(false))
        }
        ChannelMsg::Offer(offer) if !calls.is_empty() => {
            let number = offer.version.strip_prefix(calls);
            number.map(|number| change(&id, format!("back {number}")))
        }
        _ => None,
    };
    if let Some(answer) = answer {
        let _ = incoming.from().queue(answer.into()).await;
    }
    Ok(())
}
