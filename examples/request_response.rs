//! "I want request and response": calls on top of messages. The calling end is a
//! `Service<Request, Response = String>` with tower's timeout on top, the answering end any tower service. A
//! request whose future is dropped is cancelled at the other end.
//!
//! `cargo run --example request_response`

use std::{
    collections::HashMap,
    future::{Ready, ready},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use kyneta_uds::{
    BoxError, CborLayer, FramingLayer, Handle, Listener, Message, QueueConfig, QueueLayer,
    SendError, SocketPath, UnixConnector, UnixTarget, connect, encoded_size, queue,
};
use serde::{Deserialize, Serialize};
use tokio::{sync::oneshot, task::AbortHandle};
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceBuilder, ServiceExt as _, service_fn};

type Request = String;
type Response = Result<String, String>;

/// The messages. The caller numbers its requests; a response has the number of its request.
#[derive(Debug, Serialize, Deserialize)]
enum Envelope {
    Request(u64, Request),
    Response(u64, Response),
    Cancel(u64),
}

impl Message for Envelope {
    fn size(&self) -> usize {
        encoded_size(self)
    }
}

type ByNumber<T> = Arc<Mutex<HashMap<u64, T>>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The calling end. Its `poll_ready` is that of the bounded queue: it waits while the peer does not read.
struct Caller {
    handle: Handle<Envelope>,
    waiting: ByNumber<oneshot::Sender<Response>>,
    next: u64,
}

impl Service<Request> for Caller {
    type Response = String;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<String, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.handle.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let number = self.next;
        self.next += 1;
        let (answer, answered) = oneshot::channel();
        lock(&self.waiting).insert(number, answer);
        let sent = self.handle.call(Envelope::Request(number, request));
        let call = Call {
            number,
            handle: self.handle.clone(),
            waiting: self.waiting.clone(),
        };
        Box::pin(async move {
            sent.await?;
            tokio::select! {
                answer = answered => Ok(answer??),
                reason = call.handle.closed() => Err(reason.into()),
            }
        })
    }
}

/// A request without a response yet. If it is dropped while still in the table, it is cancelled.
struct Call {
    number: u64,
    handle: Handle<Envelope>,
    waiting: ByNumber<oneshot::Sender<Response>>,
}

impl Drop for Call {
    fn drop(&mut self) {
        if lock(&self.waiting).remove(&self.number).is_some() {
            let (mut handle, cancel) = (self.handle.clone(), Envelope::Cancel(self.number));
            tokio::spawn(async move { handle.queue(cancel).await });
        }
    }
}

/// The handler of the calling end: it hands each response to its waiting call. Late ones are dropped.
fn responses(
    waiting: ByNumber<oneshot::Sender<Response>>,
) -> impl Service<Envelope, Response = (), Error = SendError, Future: Send> + Clone + Send {
    service_fn(move |envelope| {
        if let Envelope::Response(number, response) = envelope
            && let Some(answer) = lock(&waiting).remove(&number)
        {
            let _ = answer.send(response);
        }
        ready(Ok(()))
    })
}

/// The handler of the answering end: each request is a task with a clone of the user's service, at most
/// 100 at a time, so that cancellations are read while requests are in progress.
struct Answerer<S> {
    service: S,
    handle: Handle<Envelope>,
    at_work: ByNumber<AbortHandle>,
}

impl<S> Service<Envelope> for Answerer<S>
where
    S: Service<Request, Response = String, Error: Into<BoxError>, Future: Send>
        + Clone
        + Send
        + 'static,
{
    type Response = ();
    type Error = SendError;
    type Future = Ready<Result<(), SendError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, envelope: Envelope) -> Self::Future {
        let mut at_work = lock(&self.at_work);
        match envelope {
            Envelope::Request(number, request) => {
                let (full, at_work_too) = (at_work.len() >= 100, self.at_work.clone());
                let (service, mut handle) = (self.service.clone(), self.handle.clone());
                let task = tokio::spawn(async move {
                    let response = match full {
                        true => Err("busy".to_owned()),
                        false => service
                            .oneshot(request)
                            .await
                            .map_err(|error| error.into().to_string()),
                    };
                    lock(&at_work_too).remove(&number);
                    handle.queue(Envelope::Response(number, response)).await
                });
                at_work.insert(number, task.abort_handle());
            }
            Envelope::Cancel(number) => {
                if let Some(task) = at_work.remove(&number) {
                    task.abort();
                }
            }
            Envelope::Response(..) => {} // this end sends no requests
        }
        ready(Ok(()))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let dir = tempfile::tempdir()?;
    let path = SocketPath::new(dir.path().join("ask.sock"))?;
    let channels = ServiceBuilder::new()
        .layer(CborLayer::typed::<Envelope>())
        .layer(FramingLayer::new())
        .service(UnixConnector::new());

    // The answering end. Its handler needs the handle, so queue and driver are made by hand.
    let mut listener = Listener::bind(path.clone()).await?;
    let cancelled = CancellationToken::new();
    let dropped = cancelled.clone();
    let service = service_fn(move |request: Request| {
        let dropped = dropped.clone();
        async move {
            match request.as_str() {
                "forever" => {
                    let _when_dropped = dropped.drop_guard();
                    std::future::pending().await
                }
                "fail" => Err("as requested".to_owned()),
                _ => Ok(request.to_uppercase()),
            }
        }
    });
    let accepting = channels.clone();
    tokio::spawn(async move {
        let (stream, _permit) = listener.accept().await;
        let channel = accepting.oneshot(UnixTarget::Accepted(stream)).await?;
        let (handle, driver) = queue(QueueConfig::default());
        let at_work = ByNumber::default();
        let answerer = Answerer {
            service,
            handle,
            at_work,
        };
        Ok::<_, BoxError>(driver.drive(channel, answerer).await)
    });

    // The calling end.
    let waiting = ByNumber::default();
    let stack = ServiceBuilder::new()
        .layer(QueueLayer::new(responses(waiting.clone())))
        .service(channels);
    let mut ask = ServiceBuilder::new()
        .timeout(Duration::from_millis(200))
        .service(Caller {
            handle: connect(stack, path).await?,
            waiting: waiting.clone(),
            next: 0,
        });

    for request in ["hello", "fail", "forever"] {
        let answer = ask.ready().await?.call(request.into()).await;
        println!("{request}: {answer:?}");
    }
    // The timeout dropped the future of the request, which cancelled it at the other end.
    cancelled.cancelled().await;
    println!("cancelled; {} requests wait", lock(&waiting).len());
    Ok(())
}
