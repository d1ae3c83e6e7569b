//! A member of a hub inside this process, as a handle and a handler.
//!
//! In: a hub, what it may know of the member, and a handler. Out: the handle of the member. May touch: two tasks of tokio's.

use kyneta_uds_core::{BoxError, ChannelMsg};
use kyneta_uds_hub::Hub;
use kyneta_uds_queue::{Handle, QueueConfig, queue};
use kyneta_uds_relay::MemberFacts;
use tower_service::Service;

/// A service for the messages of a local member ([`Server::local_member`](crate::Server::local_member)), called with
/// one after the other. Every tower service with these bounds is one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the handler of a local member",
    label = "not a `Service<ChannelMsg, Response = ()>`",
    note = "it is a tower service that takes a `ChannelMsg`, returns `()` and is `Send`"
)]
pub trait LocalHandler:
    Service<ChannelMsg, Response = (), Error: Into<BoxError>, Future: Send> + Send + 'static
{
}

impl<H> LocalHandler for H where
    H: Service<ChannelMsg, Response = (), Error: Into<BoxError>, Future: Send> + Send + 'static
{
}

pub(crate) fn local_member(
    hub: &Hub<ChannelMsg>,
    facts: MemberFacts,
    handler: impl LocalHandler,
) -> Handle<ChannelMsg> {
    let channel = hub.local(facts, QueueConfig::default());
    let (handle, driver) = queue(QueueConfig::default());
    tokio::spawn(driver.drive(channel, handler));
    handle
}
