//! The roles [`Server`] (or [`serve()`](serve)), [`Client`] and [`Peer`], with their builders, errors, events
//! and counts.
//!
//! | | [`Server`] | [`Client`] | [`Peer`] |
//! |---|---|---|---|
//! | connections | from every peer | one at a time, to the listener | as a server's while it listens, else as a client's |
//! | `call`, `queue`, `try_queue`, `flushed` | of each [`Connection`] | to the listener, or the next one | to the listener, or, while it listens, to every peer |
//! | `broadcast(msg)` | to every connected peer, with a result for each | (`call`) | as a server's |
//! | `connection(id)`, `connections()` | the peers' | `connection()`, `peer()`: the current one | the peers', or the listener's |
//! | `local_member(handler)` | a member of its hub inside this process | - | as a server's, while it listens |
//! | `disconnect(id)` | closes that peer's connections | (`dispose`) | as a server's; the listener's id: as `dispose` |
//! | `dispose()` | gives up the path; sends each peer what is queued and `depart` | sends what is queued and `depart` | both |
//! | the last clone is dropped | it goes on | what is queued is sent, then it ends; no `depart` | what is queued is sent, then it ends; no `depart` |
//! | `closed()` | after `dispose`, or when the serving future is dropped | after `dispose`, or when the policy has given up | after `dispose` |
//! | after a loss | the peer may return | connects again by its policy | negotiates again |
//! | `events()` end | after `closed()`, when the last clone is dropped | the same | the same |

#[cfg(target_os = "linux")]
pub use crate::handoff::{ListenError, TakingOver};
pub use crate::{
    broadcast::Broadcast,
    builder::{Binds, Builder, Connects, Listens},
    client::{Client, ClientBuilder, ClientError, ClientOptions},
    connection::{Connection, Incoming},
    counts::Counts,
    event::{Event, PeerChange},
    event_sender::Events,
    handler::{Handler, MakeHandler},
    handoff::HandoffPolicy,
    local_member::LocalHandler,
    looking::{IncomingRef, Looking, look},
    peer::{JoinError, Peer, PeerBuilder, PeerOptions},
    peers::IdOfAnotherUser,
    serve::{Accepting, Serve, WithGracefulShutdown, serve},
    server::{ServeDropped, Server, ServerBuilder, ServerOptions},
    stack::{DefaultStack, connect, default_stack, join},
    waiting::Waiting,
};
