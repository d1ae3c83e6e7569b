//! One HTTP request to a status socket, over the library's connector, which knows abstract names.
//!
//! In: a path. Out: the body of the answer. Touches the socket.

use std::{fmt, future::poll_fn, pin::Pin, time::Duration};

use hyper::{
    Request, StatusCode,
    body::{Body as _, Incoming},
    client::conn::http1::handshake,
    header::HOST,
};
use hyper_util::rt::TokioIo;
use kyneta_uds::{BoxError, SocketPath, UnixConnector};
use tokio::{net::UnixStream, time::timeout};
use tower::ServiceExt as _;

use crate::failure::{Chain, Failure};

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(3);

/// The largest answer, bytes: some 16,000 peers with names of 4 KiB.
const MAX_ANSWER: usize = 64 << 20;

/// Why there is no status.
#[derive(Debug)]
pub(super) enum NoStatus {
    /// No process listens there.
    Absent(Failure),
    /// What listens there does not answer at all.
    Silent(Failure),
    /// What listens there answers otherwise.
    Other(String),
}

/// The JSON of `/status`.
pub(super) async fn get_status(path: &SocketPath) -> Result<Vec<u8>, NoStatus> {
    let stream = match UnixConnector::new().oneshot(path.clone().into()).await {
        Ok(stream) => stream,
        Err(error) => return Err(NoStatus::Absent(error.into())),
    };
    let listener = Listener(stream.peer_cred().ok().and_then(|of| of.pid()));
    match timeout(TIMEOUT, get(stream)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) => Err(NoStatus::Other(Chain(&*error).to_string())),
        Err(_) => Err(NoStatus::Silent(Failure::work(format!(
            "{path}: no answer within {TIMEOUT:?}: {listener} is stopped, overloaded, or another program"
        )))),
    }
}

/// The process that listens.
struct Listener(Option<i32>);

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the process that listens")?;
        match self.0 {
            Some(pid) => write!(f, " (pid {pid})"),
            None => Ok(()),
        }
    }
}

async fn get(stream: UnixStream) -> Result<Vec<u8>, BoxError> {
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    let request = async {
        let get = Request::get("/status")
            .header(HOST, "localhost")
            .body(String::new())?;
        let response = sender.send_request(get).await?;
        let status = response.status();
        if status != StatusCode::OK {
            return Err(format!("answers {status} to GET /status").into());
        }
        read(response.into_body()).await
    };
    tokio::pin!(request, connection);
    tokio::select! {
        answer = &mut request => answer,
        // The connection may end when the answer is read.
        ended = &mut connection => {
            ended?;
            request.await
        }
    }
}

async fn read(mut body: Incoming) -> Result<Vec<u8>, BoxError> {
    let mut whole = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        if let Some(data) = frame?.data_ref() {
            if whole.len() + data.len() > MAX_ANSWER {
                return Err(format!("the answer is over {MAX_ANSWER} bytes").into());
            }
            whole.extend_from_slice(data);
        }
    }
    Ok(whole)
}
