//! "I need a layer that tower does not have": it refuses messages over a size, with an error of its own,
//! before they reach the queue. The layer is above `main`, its test below.
//!
//! `cargo run --example layer_above_queue`, and `cargo test --example layer_above_queue`

use std::{
    future::{Ready, ready},
    task::{Context, Poll},
};

use futures_util::{
    TryFutureExt as _,
    future::{Either, MapErr},
};
use kyneta_uds::{
    BoxError, CborLayer, ChannelMsg, DocId, FramingLayer, Message, Offer, QueueLayer, Version,
};
use tower::{Layer, Service, ServiceBuilder, ServiceExt as _, service_fn};

/// The error names the size and the limit.
#[derive(Debug, thiserror::Error)]
#[error("a message of {size} bytes is over the limit of {max}")]
struct TooLarge {
    size: usize,
    max: usize,
}

/// The layer: what a stack declares.
#[derive(Debug, Clone)]
struct MaxSizeLayer {
    max: usize,
}

/// The service that it makes: the one below, and the limit.
#[derive(Debug, Clone)]
struct MaxSize<S> {
    inner: S,
    max: usize,
}

type ToBox<E> = fn(E) -> BoxError;

impl<S> Layer<S> for MaxSizeLayer {
    type Service = MaxSize<S>;

    fn layer(&self, inner: S) -> MaxSize<S> {
        MaxSize {
            inner,
            max: self.max,
        }
    }
}

impl<S, M> Service<M> for MaxSize<S>
where
    S: Service<M, Response = (), Error: Into<BoxError>>,
    M: Message,
{
    type Response = ();
    type Error = BoxError;
    // Without a box for each message: either the error, or the future of the service below.
    type Future = Either<Ready<Result<(), BoxError>>, MapErr<S::Future, ToBox<S::Error>>>;

    // Readiness is that of the service below: the next call may need its permit.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    // A permit that is not used stays reserved for the next call of this handle.
    fn call(&mut self, msg: M) -> Self::Future {
        let (size, max) = (msg.size(), self.max);
        if size > max {
            return Either::Left(ready(Err(TooLarge { size, max }.into())));
        }
        let to_box: ToBox<S::Error> = Into::into;
        Either::Right(self.inner.call(msg).map_err(to_box))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let (ours, theirs) = tokio::io::duplex(4096);
    let (seen, mut inbox) = tokio::sync::mpsc::channel(8);
    let stack = ServiceBuilder::new()
        .layer(QueueLayer::new(service_fn(move |msg: ChannelMsg| {
            let seen = seen.clone();
            async move { seen.send(msg).await }
        })))
        .layer(CborLayer::new())
        .layer(FramingLayer::new())
        .service(service_fn(async |io| {
            Ok::<tokio::io::DuplexStream, BoxError>(io)
        }));
    let _theirs = stack.clone().oneshot(theirs).await?;
    let mut ours = MaxSizeLayer { max: 1000 }.layer(stack.oneshot(ours).await?);

    for size in [100, 10_000] {
        match ours.ready().await?.call(offer(size)?).await {
            Ok(()) => println!(
                "{size} bytes: {:?}",
                inbox.recv().await.map(|msg| msg.size())
            ),
            Err(error) => println!("{size} bytes: {error}"),
        }
    }
    Ok(())
}

fn offer(size: usize) -> Result<ChannelMsg, BoxError> {
    let (doc, version) = (DocId::new("settings")?, Version::new("1")?);
    Ok(Offer::binary(doc, version, vec![0; size]).into())
}

#[cfg(test)]
mod tests {
    use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};
    use tower_test::{assert_request_eq, mock};

    use super::*;

    #[tokio::test]
    async fn what_is_too_large_never_reaches_the_service_below() {
        let (mut top, mut below) =
            mock::spawn_layer::<ChannelMsg, (), _>(MaxSizeLayer { max: 1000 });
        below.allow(0);
        assert_pending!(top.poll_ready(), "as the one below");
        below.allow(1);
        assert_ready_ok!(top.poll_ready());

        let mut refused = task::spawn(top.call(offer(10_000).unwrap()));
        let error = assert_ready_err!(refused.poll());
        assert!(error.is::<TooLarge>(), "{error}");

        // The permit is still reserved.
        let mut sent = task::spawn(top.call(offer(100).unwrap()));
        assert_pending!(sent.poll());
        assert_request_eq!(below, offer(100).unwrap()).send_response(());
        assert_ready_ok!(sent.poll());
    }
}
