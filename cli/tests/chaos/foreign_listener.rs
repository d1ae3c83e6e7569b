//! A listener of another implementation, which behaves like the TypeScript package: it removes the file
//! at the path, binds its own socket, and uses no lock. It answers each `establish` with its own.
//!
//! Its events go into the log in the form of our processes.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Instant,
};

use kyneta_uds::{
    ChannelCodec, ChannelMsg, Codec as _, Establish, Features, Frame, FrameParser, Identity,
    WireMode, WireVersion, WriteBuf,
};
use serde_json::{Value, json};

use crate::{support::common::raw, support::event_log::EventLog};

/// Closed when dropped, with its connections.
#[derive(Debug)]
pub(crate) struct ForeignListener {
    path: PathBuf,
    closed: Arc<AtomicBool>,
    streams: Arc<Mutex<Vec<UnixStream>>>,
}

impl ForeignListener {
    pub(crate) const ID: &str = "foreign";

    /// Takes the path. With `only`, it ignores frames of the other wire version.
    pub(crate) fn bind(path: &Path, only: Option<WireVersion>, log: &Arc<EventLog>) -> Self {
        let _ = fs::remove_file(path);
        let socket = UnixListener::bind(path).unwrap();
        record(log, json!({"event": "role", "role": "listener"}));
        let foreign = Self {
            path: path.into(),
            closed: Arc::default(),
            streams: Arc::default(),
        };
        let (closed, streams, log) = (foreign.closed.clone(), foreign.streams.clone(), log.clone());
        thread::spawn(move || {
            while let Ok((stream, _)) = socket.accept() {
                if closed.load(Ordering::SeqCst) {
                    return;
                }
                streams.lock().unwrap().push(stream.try_clone().unwrap());
                let log = log.clone();
                thread::spawn(move || serve(stream, only, &log));
            }
        });
        foreign
    }
}

impl Drop for ForeignListener {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        // Wakes accept.
        let _ = UnixStream::connect(&self.path);
        if let Ok(streams) = self.streams.lock() {
            for stream in streams.iter() {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }
}

fn record(log: &EventLog, event: Value) {
    log.record(ForeignListener::ID, Instant::now(), event);
}

/// Serves a connection to its end.
fn serve(mut stream: UnixStream, only: Option<WireVersion>, log: &EventLog) {
    const MAX_FRAME: usize = 64 << 20;
    let mut block = [0; 1 << 16];
    let mut parser: Option<FrameParser> = None;
    let mut codec = ChannelCodec::new();
    let mut peer = None;
    while let Ok(read @ 1..) = stream.read(&mut block) {
        let bytes = &block[..read];
        let wire = parser.as_ref().and_then(FrameParser::wire);
        let wire = wire.or(WireVersion::from_byte(bytes[0])).unwrap();
        if only.is_some_and(|only| only != wire) {
            continue;
        }
        let parser =
            parser.get_or_insert_with(|| FrameParser::new(WireMode::Fixed(wire), MAX_FRAME));
        parser.feed(bytes);
        while let Some(frame) = parser.next_frame().unwrap() {
            let Frame::Payload(payload) = frame else {
                panic!("{frame:?}");
            };
            match codec.decode(payload).unwrap() {
                ChannelMsg::Establish(theirs) if peer.is_none() => {
                    let id = theirs.identity.peer_id.to_string();
                    let _ = stream.write_all(&answer(&mut codec, wire));
                    record(
                        log,
                        json!({"event": "peer", "peer": id, "change": "established", "wire": wire.byte()}),
                    );
                    peer = Some(id);
                }
                ChannelMsg::Offer(offer) => {
                    let msg =
                        json!({"docId": offer.doc.as_str(), "version": offer.version.as_str()});
                    record(log, json!({"event": "message", "peer": peer, "msg": msg}));
                }
                _ => {}
            }
        }
    }
    // `streams` holds another handle to it.
    let _ = stream.shutdown(Shutdown::Both);
    if let Some(peer) = peer {
        record(
            log,
            json!({"event": "peer", "peer": peer, "change": "disconnected"}),
        );
    }
}

/// Its `establish`, in a frame.
fn answer(codec: &mut ChannelCodec, wire: WireVersion) -> Vec<u8> {
    let identity = Identity::service(ForeignListener::ID).unwrap();
    let establish = Establish::new(identity).features(Features::aliasing());
    let mut payload = WriteBuf::default();
    let establish = ChannelMsg::Establish(establish);
    codec.encode(&establish, &mut payload.writer()).unwrap();
    raw::frame(wire.byte(), 1, payload.front())
}
