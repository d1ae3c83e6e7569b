//! A guide: which stack to choose, what a sender may rely on, failover, access, observability, and how to
//! migrate from the TypeScript package. It is text; there is nothing to call.
//!
//! * [`stack`]: choosing a stack
//! * [`backpressure`]: backpressure, and what `call` promises
//! * [`failover`]: what happens when a process dies
//! * [`hub`]: what a listener passes between its members
//! * [`bus`]: a bus for messages of your own
//! * [`documents`]: documents that are shared with TypeScript services
//! * [`machines`]: several machines
//! * [`deploying`]: a restart that no peer sees
//! * [`security`]: which processes are admitted
//! * [`observability`]: events, logs, metrics, status
//! * [`migrating`]: from `@kyneta/unix-socket-transport`
//! * [`faq`]: frequent questions

#[doc = include_str!("stack.md")]
pub mod stack {}

#[doc = include_str!("backpressure.md")]
pub mod backpressure {}

#[doc = include_str!("failover.md")]
pub mod failover {}

#[doc = include_str!("hub.md")]
pub mod hub {}

#[doc = include_str!("bus.md")]
pub mod bus {}

#[doc = include_str!("documents.md")]
pub mod documents {}

#[doc = include_str!("machines.md")]
pub mod machines {}

#[doc = include_str!("deploying.md")]
pub mod deploying {}

#[doc = include_str!("security.md")]
pub mod security {}

#[doc = include_str!("observability.md")]
pub mod observability {}

#[doc = include_str!("migrating.md")]
pub mod migrating {}

#[doc = include_str!("faq.md")]
pub mod faq {}
