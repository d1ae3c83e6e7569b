//! ZeroMQ in pure Rust over `ipc://`, with a DEALER at each end.

use std::path::Path;

use bytes::Bytes;
use zeromq::{DealerSocket, Socket as _, SocketRecv as _, SocketSend as _};

use super::{Contender, Facts};
use crate::{
    BoxError,
    link::{Duplex, Link},
    works::{Pace, Task},
};

pub(super) struct ZeroMq;

impl Contender for ZeroMq {
    const FACTS: Facts = Facts {
        name: "zeromq",
        title: "zeromq",
        package: "zeromq",
        note: "no typed messages: the bare data; a DEALER at each end of `ipc://`, which carries \
               no identities and so costs less than a ROUTER",
        pace: Pace {
            one_way: 1.5e6,
            piped: 400e3,
            bytes: 3e9,
        },
    };

    async fn serve(path: &Path, task: Task, ready: fn()) -> Result<(), BoxError> {
        let mut socket = DealerSocket::new();
        socket.bind(&address(path)).await?;
        ready();
        for nth in 1.. {
            let message = socket.recv().await?;
            if task.answers(nth) {
                socket.send(message).await?;
            }
        }
        Ok(())
    }

    async fn connect(path: &Path, task: Task) -> Result<impl Link, BoxError> {
        let mut socket = DealerSocket::new();
        socket.connect(&address(path)).await?;
        Ok(Dealer {
            socket,
            data: task.data(),
        })
    }
}

fn address(path: &Path) -> String {
    format!("ipc://{}", path.display())
}

struct Dealer {
    socket: DealerSocket,
    data: Bytes,
}

impl Duplex for Dealer {
    async fn feed(&mut self) -> Result<(), BoxError> {
        Ok(self.socket.send(self.data.clone().into()).await?)
    }

    /// A task of the library flushes.
    async fn flush(&mut self) -> Result<(), BoxError> {
        Ok(())
    }

    async fn back(&mut self) -> Result<u64, BoxError> {
        self.socket.recv().await?;
        Ok(1)
    }
}
