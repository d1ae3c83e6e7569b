//! A neighbour that is not ours and listens as the TypeScript package does: it removes what is at
//! the path, binds its own, and knows nothing of locks. It answers each `establish` with its own.
//!
//! What it sees goes into the log as a process of ours would say it.

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

use crate::{support::common::raw, support::event_log::Log};

/// Gone when dropped, and its connections with it.
#[derive(Debug)]
pub(crate) struct Stranger {
    path: PathBuf,
    gone: Arc<AtomicBool>,
    streams: Arc<Mutex<Vec<UnixStream>>>,
}

impl Stranger {
    pub(crate) const ID: &str = "stranger";

    /// Takes the path. It is deaf to every wire version but `only`, if there is one.
    pub(crate) fn takes(path: &Path, only: Option<WireVersion>, log: &Arc<Log>) -> Self {
        let _ = fs::remove_file(path);
        let socket = UnixListener::bind(path).unwrap();
        say(log, json!({"event": "role", "role": "listener"}));
        let stranger = Self {
            path: path.into(),
            gone: Arc::default(),
            streams: Arc::default(),
        };
        let (gone, streams, log) = (stranger.gone.clone(), stranger.streams.clone(), log.clone());
        thread::spawn(move || {
            while let Ok((stream, _)) = socket.accept() {
                if gone.load(Ordering::SeqCst) {
                    return;
                }
                streams.lock().unwrap().push(stream.try_clone().unwrap());
                let log = log.clone();
                thread::spawn(move || serve(stream, only, &log));
            }
        });
        stranger
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::SeqCst);
        // So that it looks.
        let _ = UnixStream::connect(&self.path);
        if let Ok(streams) = self.streams.lock() {
            for stream in streams.iter() {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }
}

fn say(log: &Log, event: Value) {
    log.hear(Stranger::ID, Instant::now(), event);
}

/// One connection, to its end.
fn serve(mut stream: UnixStream, only: Option<WireVersion>, log: &Log) {
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
                    say(
                        log,
                        json!({"event": "peer", "peer": id, "change": "established", "wire": wire.byte()}),
                    );
                    peer = Some(id);
                }
                ChannelMsg::Offer(offer) => {
                    let msg =
                        json!({"docId": offer.doc.as_str(), "version": offer.version.as_str()});
                    say(log, json!({"event": "message", "peer": peer, "msg": msg}));
                }
                _ => {}
            }
        }
    }
    // There is another handle to it, which does not keep it open.
    let _ = stream.shutdown(Shutdown::Both);
    if let Some(peer) = peer {
        say(
            log,
            json!({"event": "peer", "peer": peer, "change": "disconnected"}),
        );
    }
}

/// Its own `establish`, in a frame.
fn answer(codec: &mut ChannelCodec, wire: WireVersion) -> Vec<u8> {
    let identity = Identity::service(Stranger::ID).unwrap();
    let establish = Establish::new(identity).features(Features::aliasing());
    let mut payload = WriteBuf::default();
    let establish = ChannelMsg::Establish(establish);
    codec.encode(&establish, &mut payload.writer()).unwrap();
    raw::frame(wire.byte(), 1, payload.front())
}
