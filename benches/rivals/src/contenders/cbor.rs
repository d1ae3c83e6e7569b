//! As written without a library: length-delimited frames with CBOR by serde.

use std::path::Path;

use bytes::{Bytes, BytesMut};

use super::{
    Contender, Facts,
    framed::{self, Format},
};
use crate::{
    BoxError,
    link::Link,
    offer::Offer,
    works::{Pace, Task},
};

pub(super) struct Cbor;

impl Contender for Cbor {
    const FACTS: Facts = Facts {
        name: "cbor",
        title: "Framed + ciborium",
        package: "ciborium",
        note: "a serde struct with bytes for its data in a `LengthDelimitedCodec`'s frames; fed, \
               and flushed when idle",
        pace: Pace {
            one_way: 1.3e6,
            piped: 300e3,
            bytes: 3e9,
        },
    };

    async fn serve(path: &Path, task: Task, ready: fn()) -> Result<(), BoxError> {
        framed::serve::<Serde>(path, task, ready).await
    }

    async fn connect(path: &Path, task: Task) -> Result<impl Link, BoxError> {
        framed::connect::<Serde>(path, task).await
    }
}

struct Serde;

impl Format for Serde {
    type Message = Offer;

    fn message(task: Task) -> Offer {
        Offer::of(task)
    }

    fn encode(message: &Offer) -> Result<Bytes, BoxError> {
        let mut frame = Vec::new();
        ciborium::into_writer(message, &mut frame)?;
        Ok(frame.into())
    }

    fn decode(frame: BytesMut) -> Result<Offer, BoxError> {
        Ok(ciborium::from_reader(&frame[..])?)
    }
}
