//! A server and a client that ignore what they receive.

use std::{convert::Infallible, path::Path};

use kyneta_uds::{
    BindError, Client, ClientError, Incoming, ListenerOptions, ReconnectPolicy, Server,
};
use tower::service_fn;

pub(crate) async fn bind_as_server(
    path: &Path,
    options: ListenerOptions,
) -> Result<Server, BindError> {
    let ignore = service_fn(async |_: Incoming| Ok::<(), Infallible>(()));
    Server::builder(path).listener(options).listen(ignore).await
}

pub(crate) async fn connect_as_client(path: &Path) -> Result<Client, ClientError> {
    let ignore = service_fn(async |_: Incoming| Ok::<(), Infallible>(()));
    Client::builder(path)
        .reconnect(ReconnectPolicy::off())
        .connect(ignore)
        .await
}
