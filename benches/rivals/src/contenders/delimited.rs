//! tokio-util's `Framed` with its `LengthDelimitedCodec`: frames with only the data.

use std::path::Path;

use bytes::{Bytes, BytesMut};

use super::{
    Contender, Facts,
    framed::{self, Format},
};
use crate::{
    BoxError,
    link::Link,
    works::{Pace, Task},
};

pub(super) struct Delimited;

impl Contender for Delimited {
    const FACTS: Facts = Facts {
        name: "delimited",
        title: "tokio-util LengthDelimitedCodec",
        package: "tokio-util",
        note: "no typed messages: frames of the bare data; fed, and flushed when idle",
        pace: Pace {
            one_way: 8e6,
            piped: 1.2e6,
            bytes: 4e9,
        },
    };

    async fn serve(path: &Path, task: Task, ready: fn()) -> Result<(), BoxError> {
        framed::serve::<Data>(path, task, ready).await
    }

    async fn connect(path: &Path, task: Task) -> Result<impl Link, BoxError> {
        framed::connect::<Data>(path, task).await
    }
}

struct Data;

impl Format for Data {
    type Message = Bytes;

    fn message(task: Task) -> Bytes {
        task.data()
    }

    fn encode(message: &Bytes) -> Result<Bytes, BoxError> {
        Ok(message.clone())
    }

    fn decode(frame: BytesMut) -> Result<Bytes, BoxError> {
        Ok(frame.freeze())
    }
}
