//! A line, opened to a peer.
//!
//! In: a topic, a peer, the types of messages. Out: both halves. Touches the exchange.

use std::{fmt, sync::Arc};

use kyneta_uds_core::{DocId, PeerId};
use kyneta_uds_exchange::{
    line::{LineForm, LineMachine, LineTopic, LineTopicError},
    typed::Described,
};
use kyneta_uds_schema::Substrate;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    accept::Lines,
    error::{LineError, OpenLineError, ReceiveError},
    receiver::LineReceiver,
    sender::{Acknowledged, LineSender},
    shared::{Ends, Shared},
};
use crate::documents::exchange::Exchange;

/// The topic of a line, and its settings.
#[derive(Debug, Clone)]
#[must_use = "options do nothing until a line is opened with them"]
pub struct LineOptions {
    pub(super) topic: LineTopic,
    pub(super) form: LineForm,
    max_waiting: usize,
}

impl LineOptions {
    /// For lines of a topic, with peers of release 2.x.
    ///
    /// # Errors
    /// [`LineTopicError`]: the topic is empty, or has a colon.
    pub fn new(topic: impl Into<String>) -> Result<Self, LineTopicError> {
        Ok(Self {
            topic: LineTopic::new(topic)?,
            form: LineForm::default(),
            max_waiting: 256,
        })
    }

    /// For peers of release 1.8. When one of them restarts without a store, its first messages are lost.
    pub const fn release_1(mut self) -> Self {
        self.form = LineForm::Release1;
        self
    }

    /// How many messages may wait for the peer to process them, 1 or more. 256 by default. Their bytes have the bound
    /// of a document.
    pub const fn max_waiting(mut self, max: usize) -> Self {
        self.max_waiting = if max == 0 { 1 } else { max };
        self
    }
}

/// A stream of messages to a peer, and one from it: reliable, in order, bounded, and compatible with the lines of the
/// TypeScript package.
///
/// Each peer opens it with the id of the other one. A message is kept until the other peer has processed it, through
/// lost connections and other listeners.
///
/// ```
/// use kyneta_uds::{Identity, PeerId, documents::{Exchange, LineOptions, typed::Schema}};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Schema, Serialize, Deserialize)]
/// #[schema(crate = "kyneta_uds::documents::typed")]
/// struct Job { name: String }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("bus.sock");
/// let worker = Exchange::builder(Identity::service("worker")?).join(&path).await?;
/// let mut lines = worker.accept_lines::<String, Job>(&LineOptions::new("jobs")?)?;
///
/// let office = Exchange::builder(Identity::service("office")?).join(&path).await?;
/// let mut line = office.open_line::<Job, String>(PeerId::new("worker")?, &LineOptions::new("jobs")?)?;
/// let processed = line.send(&Job { name: "sweep".into() }).await?;
///
/// let mut work = lines.next().await.expect("a line is there")?;
/// let job = work.next().await.expect("a message is there")?;
/// let _ = work.send(&format!("{} is done", job.name)).await?;
/// assert_eq!(line.next().await.expect("an answer is there")?, "sweep is done");
///
/// tokio::spawn(async move { while work.next().await.is_some() {} }); // it asks for the next one
/// processed.await?;
/// # office.dispose().await;
/// # worker.dispose().await;
/// # Ok(())
/// # }
/// ```
///
/// It ends when it is dropped, and so do both halves. Its documents stay: a line that is opened again goes on.
pub struct Line<O, I> {
    sender: LineSender<O>,
    receiver: LineReceiver<I>,
}

impl Exchange {
    /// Opens a line to a peer that is, or will be, at the same path. What waits in it from before goes on.
    ///
    /// # Errors
    /// [`OpenLineError`].
    pub fn open_line<O, I>(
        &self,
        peer: PeerId,
        options: &LineOptions,
    ) -> Result<Line<O, I>, OpenLineError>
    where
        O: Described + Serialize,
        I: Described + DeserializeOwned,
    {
        let topic = options.topic.clone();
        let own = self.peer_id();
        let (out_id, in_id) = (topic.doc(own, &peer)?, topic.doc(&peer, own)?);
        let (out_schema, in_schema) = (
            options.form.schema(O::schema()?)?,
            options.form.schema(I::schema()?)?,
        );
        let rules = self.line_rules();
        if !rules.add(&out_id, &in_id) {
            return Err(OpenLineError::Open { topic, peer });
        }
        let open = |id: &DocId, schema| self.open(id.clone(), Substrate::Plain, schema);
        let docs =
            open(&out_id, &out_schema).and_then(|outbox| Ok((outbox, open(&in_id, &in_schema)?)));
        let (outbox, inbox) = docs.inspect_err(|_| rules.remove(&out_id, &in_id))?;
        let machine = LineMachine::new(options.form, &outbox.value());
        let ids = (topic, peer);
        let shared = Shared::new(ids, (outbox, inbox), machine, options.max_waiting);
        let ends = Arc::new(Ends::start(shared, rules.clone()));
        Ok(Line {
            sender: LineSender::new(ends.clone()),
            receiver: LineReceiver::new(ends),
        })
    }

    /// Accepts the lines of a topic that peers open to this one, those that are here first.
    ///
    /// # Errors
    /// [`OpenLineError::Schema`]: a type of the messages has no schema.
    pub fn accept_lines<O, I>(&self, options: &LineOptions) -> Result<Lines<O, I>, OpenLineError>
    where
        O: Described + Serialize + 'static,
        I: Described + DeserializeOwned + 'static,
    {
        let schema = options.form.schema(I::schema()?)?;
        Ok(Lines::start(self, options.clone(), schema))
    }
}

impl<O: Serialize, I: DeserializeOwned> Line<O, I> {
    /// As [`LineSender::send`].
    ///
    /// # Errors
    /// [`LineError`].
    pub async fn send(&self, message: &O) -> Result<Acknowledged, LineError> {
        self.sender.send(message).await
    }

    /// As [`LineReceiver::next`].
    pub async fn next(&mut self) -> Option<Result<I, ReceiveError>> {
        self.receiver.next().await
    }

    /// The peer at the other end.
    pub fn peer(&self) -> &PeerId {
        self.sender.peer()
    }

    /// How many messages the peer has not processed yet.
    pub fn waiting(&self) -> usize {
        self.sender.waiting()
    }

    /// Both halves: a sink and service, and a stream.
    pub fn split(self) -> (LineSender<O>, LineReceiver<I>) {
        (self.sender, self.receiver)
    }

    /// Ends the line and destroys its documents here: what the peer has not received is lost.
    pub fn close(self) {
        let shared = &self.sender.ends().shared;
        let docs = [shared.outbox.clone(), shared.inbox.clone()];
        drop(self);
        for doc in docs {
            doc.destroy();
        }
    }
}

impl<O, I> fmt::Debug for Line<O, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sender.fmt(f)
    }
}
