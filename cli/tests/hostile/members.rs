//! Members of a hub that do round trips through it: of each pair one offers a change of a document that both hold, and the
//! other answers with a change of its own.

use std::{convert::Infallible, path::Path, time::Duration};

use kyneta_uds::{
    ChannelMsg, Client, DocEntry, DocId, Incoming, Interest, Offer, ReplicaType, SchemaHash,
    Version,
};
use tokio::{sync::mpsc, time::timeout};
use tower::service_fn;

use crate::{paced::RoundTrips, support::common::service};

/// The document of the first pair.
pub(crate) const SHARED: &str = "shared-0";
/// The schema of these documents.
pub(crate) const SCHEMA: &str = "02aa";

/// After how long a pair that has just joined calls once more.
const AGAIN: Duration = Duration::from_millis(20);

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

/// Two members that hold a document.
pub(crate) struct Pair {
    id: String,
    calls: Client,
    _answers: Client,
    /// The versions of the answers.
    answered: mpsc::UnboundedReceiver<String>,
}

impl Pair {
    pub(crate) async fn join(path: &Path, number: u32) -> Self {
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
        let mut this = Self {
            id,
            calls,
            _answers,
            answered,
        };
        // A change that comes before the other's interest is not passed on.
        while timeout(AGAIN, this.is_answered("first")).await.is_err() {}
        this
    }

    /// Calls, and waits for the answer.
    async fn is_answered(&mut self, call: &str) {
        let change = change(&self.id, format!("call {call}"));
        self.calls.queue(change.into()).await.unwrap();
        let expected = format!("back {call}");
        while self.answered.recv().await.unwrap() != expected {}
    }
}

impl RoundTrips for Pair {
    async fn round_trip(&mut self, number: u32) {
        self.is_answered(&number.to_string()).await;
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
