//! A guide: which stack to choose, what a message's sender may rely on, how a bus heals, who may come
//! in, how to see inside, and how to come from the TypeScript package. Text alone; nothing to call.
//!
//! * [`stack`]: choosing a stack
//! * [`backpressure`]: backpressure, and what `call` promises
//! * [`healing`]: what happens when somebody dies
//! * [`security`]: who may come in
//! * [`seeing`]: seeing inside
//! * [`migrating`]: from `@kyneta/unix-socket-transport`
//! * [`faq`]: what users ask

#[doc = include_str!("stack.md")]
pub mod stack {}

#[doc = include_str!("backpressure.md")]
pub mod backpressure {}

#[doc = include_str!("healing.md")]
pub mod healing {}

#[doc = include_str!("security.md")]
pub mod security {}

#[doc = include_str!("seeing.md")]
pub mod seeing {}

#[doc = include_str!("migrating.md")]
pub mod migrating {}

#[doc = include_str!("faq.md")]
pub mod faq {}
