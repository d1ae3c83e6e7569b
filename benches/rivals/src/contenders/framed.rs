//! Shared by the contenders on tokio-util's `Framed`: feed, and flush when no more input has arrived.

use std::path::Path;

use bytes::{Bytes, BytesMut};
use futures::{FutureExt as _, SinkExt, StreamExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use super::gone;
use crate::{
    BoxError,
    link::{Duplex, Link},
    works::Task,
};

/// The contents of a frame.
pub(super) trait Format {
    type Message;

    fn message(task: Task) -> Self::Message;
    fn encode(message: &Self::Message) -> Result<Bytes, BoxError>;
    fn decode(frame: BytesMut) -> Result<Self::Message, BoxError>;
}

pub(super) async fn serve<F: Format>(path: &Path, task: Task, ready: fn()) -> Result<(), BoxError> {
    let listener = UnixListener::bind(path)?;
    ready();
    let (stream, _) = listener.accept().await?;
    let mut framed = Framed::new(stream, LengthDelimitedCodec::new());
    let mut got = 0;
    while let Some(frame) = framed.next().await {
        let mut next = Some(frame);
        while let Some(frame) = next {
            let message = F::decode(frame?)?;
            got += 1;
            if task.answers(got) {
                framed.feed(F::encode(&message)?).await?;
            }
            next = framed.next().now_or_never().flatten();
        }
        SinkExt::<Bytes>::flush(&mut framed).await?;
    }
    Ok(())
}

pub(super) async fn connect<F: Format>(path: &Path, task: Task) -> Result<impl Link, BoxError> {
    let stream = UnixStream::connect(path).await?;
    Ok(End::<F> {
        framed: Framed::new(stream, LengthDelimitedCodec::new()),
        message: F::message(task),
    })
}

struct End<F: Format> {
    framed: Framed<UnixStream, LengthDelimitedCodec>,
    message: F::Message,
}

impl<F: Format> Duplex for End<F> {
    async fn feed(&mut self) -> Result<(), BoxError> {
        Ok(self.framed.feed(F::encode(&self.message)?).await?)
    }

    async fn flush(&mut self) -> Result<(), BoxError> {
        Ok(SinkExt::<Bytes>::flush(&mut self.framed).await?)
    }

    async fn back(&mut self) -> Result<u64, BoxError> {
        F::decode(self.framed.next().await.ok_or_else(gone)??)?;
        let mut back = 1;
        while let Some(frame) = self.framed.next().now_or_never().flatten() {
            F::decode(frame?)?;
            back += 1;
        }
        Ok(back)
    }
}
