//! Writes inputs made from the vectors into `fuzz/found`; `.ci/fuzz corpus` then keeps a set with the same coverage.
//!
//! In: `tests/vectors`. Out: files, named by their content, so that none is there twice. May touch: `fuzz/found`
//! alone.

use std::{fs, io, path::Path};

use kyneta_uds_core::WireVersion;
use kyneta_uds_exchange::Json;
use serde_json::Value;

#[expect(dead_code, reason = "the helpers that build messages are unused here")]
#[path = "../../layers/cbor/tests/conformance/vectors.rs"]
mod vectors;

use vectors::{WIRES, bytes, captured, cases, list, read};

/// The longest input to keep in the repository, bytes.
const LONGEST: usize = 1024;

fn main() -> io::Result<()> {
    for wire in WIRES {
        for case in cases(wire, "inbound") {
            let parts = [&case["setup"], &case["bytes"], &case["after"]["bytes"]];
            stream(wire, &parts.map(stream_of).concat())?;
        }
        for case in cases(wire, "session") {
            let frames = list(&case["steps"]).iter().map(|step| {
                let raw = step.get("raw").or(step.get("frame"));
                raw.filter(|frame| frame.get("$sha256").is_none())
            });
            stream(
                wire,
                &frames.flatten().map(stream_of).collect::<Vec<_>>().concat(),
            )?;
        }
        let captured = captured(wire);
        for direction in ["A->B", "B->A"] {
            let chunks = list(&captured["sequence"]).iter();
            let sent = chunks.filter(|chunk| chunk["dir"] == direction);
            let frames: Vec<u8> = sent.flat_map(|chunk| stream_of(&chunk["frames"])).collect();
            stream(wire, &frames[..frames.len().min(LONGEST)])?;
        }
    }
    documents()?;
    client()?;
    negotiate()
}

/// Schemas, versions and payloads of documents.
fn documents() -> io::Result<()> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for case in recorded("exchange-schema.json")? {
        write("schema", format!("0{}", case["decl"]).as_bytes())?;
    }
    for case in recorded("exchange-versions.json")? {
        for kind in '0'..'5' {
            write("schema", format!("{kind}{}", text(&case["a"])).as_bytes())?;
        }
    }
    for case in recorded("exchange-plain.json")? {
        // A whole document, or one batch, for the next version.
        let how = if case["payload"] == "since" {
            "\x10"
        } else {
            "\x14"
        };
        write("offers", format!("{how}{}", text(&case["data"])).as_bytes())?;
        let steps = case["steps"].as_array().into_iter().flatten();
        let lines: Vec<_> = steps
            .map(|step| format!("\x10{}", text(&step["since"])))
            .collect();
        for several in lines.chunks(3) {
            write("offers", several.join("\n").as_bytes())?;
        }
    }
    for case in recorded("exchange-schema.json")? {
        let update = text(&case["loro"]["2.3.2"]["update"]);
        loro(&[update])?;
    }
    for case in recorded("exchange-loro.json")? {
        let steps = case["steps"].as_array().into_iter().flatten();
        let sent = steps.flat_map(|step| step["sent"].as_array().into_iter().flatten());
        let updates: Vec<_> = sent.map(|sent| text(&sent[4])).collect();
        for several in updates.chunks(3) {
            loro(several)?;
        }
    }
    for case in recorded("exchange-yjs.json")? {
        let steps = case["steps"].as_array().into_iter().flatten();
        let sent = steps.flat_map(|step| step["sent"].as_array().into_iter().flatten());
        let updates: Vec<_> = sent.map(|sent| text(&sent[4])).collect();
        for several in updates.chunks(3) {
            yjs(several)?;
        }
    }
    Ok(())
}

/// Updates in hex, each behind its length.
fn yjs(updates: &[String]) -> io::Result<()> {
    let mut input = Vec::new();
    for update in updates {
        let bytes = hex::decode(update).unwrap_or_default();
        input.extend_from_slice(&u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_le_bytes());
        input.extend_from_slice(&bytes);
    }
    for how in [0, 1, 8] {
        write("yjs", &[&[how], input.as_slice()].concat())?;
    }
    Ok(())
}

/// Updates in hex, one after the other.
fn loro(updates: &[String]) -> io::Result<()> {
    let bytes = hex::decode(updates.concat()).unwrap_or_default();
    for how in [0, 1, 8] {
        write("loro", &[&[how], bytes.as_slice()].concat())?;
    }
    Ok(())
}

fn recorded(file: &str) -> io::Result<Vec<Value>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors");
    // Some hold half of a surrogate pair, which Rust's strings cannot.
    let text = fs::read_to_string(path.join(file))?;
    let json = Json::parse(&text).map_err(io::Error::other)?;
    Ok(serde_json::from_str(&json.to_string())?)
}

/// Hex, shorthands or a list of them; empty if absent.
fn stream_of(value: &Value) -> Vec<u8> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(parts) => parts.iter().flat_map(stream_of).collect(),
        value => bytes(value),
    }
}

/// A stream of frames is an input of `frames` and `session`, and its payloads are inputs of `decode`.
fn stream(wire: WireVersion, bytes: &[u8]) -> io::Result<()> {
    if bytes.len() > LONGEST {
        return Ok(());
    }
    let fixed = wire.byte();
    write("frames", &[&[fixed | 8, 0, 0, 0, 0], bytes].concat())?;
    write("frames", &[&[8 | 16, 3, 0, 1, 77], bytes].concat())?;
    let how = 0b1110 | u8::from(wire == WireVersion::V3);
    write("session", &[&[how, 0, 0, 0, 0, 0, 0, 0], bytes].concat())?;
    write(
        "session",
        &[&[how | 0x50, 9, 1, 0, 30, 1, 20, 3], bytes].concat(),
    )?;
    let mut several = Vec::new();
    let mut rest = bytes;
    while let Some(&[_, _, a, b, c, d]) = rest.first_chunk() {
        let size = u32::from_be_bytes([a, b, c, d]) as usize;
        let Some(payload) = rest.get(wire.header_len()..wire.header_len().saturating_add(size))
        else {
            break;
        };
        rest = &rest[wire.header_len() + size..];
        several.extend((size as u16).to_be_bytes());
        several.extend(payload);
        write("decode", &[&[0x90 | (fixed - 1)], payload].concat())?;
        write("decode", &[&[0x40], payload].concat())?;
    }
    write("decode", &[&[0x98 | (fixed - 1)], &several[..]].concat())?;
    write("decode", &[&[0x8c], &several[..]].concat())
}

/// The reference's transitions, with the policies of `mealy-client.json` and some others.
fn client() -> io::Result<()> {
    for case in list(&read("mealy-client.json")) {
        let byte = |msg: &Value| match msg["type"].as_str().unwrap_or_default() {
            "start" => 0,
            "connection-opened" => 1,
            "connection-closed" => 3,
            "connection-error" => 4,
            "reconnect-timer-fired" => 6,
            _ => 7,
        };
        let steps: Vec<u8> = list(&case["steps"])
            .iter()
            .map(|step| byte(&step["msg"]))
            .collect();
        for policy in [
            [0, 10, 3, 4],
            [1, 10, 3, 4],
            [2, 3, 2, 7],
            [0, 0, 0, 0],
            [2, 255, 6, 5],
        ] {
            write("client", &[&policy, &steps[..]].concat())?;
        }
    }
    Ok(())
}

/// The reference's transitions: inputs that lead to the role, then the message.
fn negotiate() -> io::Result<()> {
    for case in list(&read("mealy-peer.json")) {
        let way: &[u8] = match case["model"]["role"].as_str().unwrap_or_default() {
            "listener" => &[0, 9, 2, 9, 6, 9],
            "connector" => &[0, 9, 1, 9],
            "disposed" => &[0, 9, 19, 0],
            _ => &[0, 9],
        };
        let what = match case["msg"]["type"].as_str().unwrap_or_default() {
            "probe-result" => match case["msg"]["result"].as_str().unwrap_or_default() {
                "connected" => 1,
                "eaddrinuse" => 3,
                "eacces" => 5,
                _ => 2,
            },
            "transport-added" | "role-established" => 6,
            "listen-failed" => 7,
            "transport-disconnected" | "connection-lost" => 12,
            "dispose" => 19,
            _ => 18,
        };
        for honest in 0..2 {
            write("negotiate", &[&[honest], way, &[what, 200, 18, 3]].concat())?;
        }
    }
    Ok(())
}

/// Writes an input under the hash of its bytes, so that each exists once.
fn write(target: &str, input: &[u8]) -> io::Result<()> {
    if input.len() > LONGEST {
        return Ok(());
    }
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("found")
        .join(target);
    fs::create_dir_all(&dir)?;
    fs::write(dir.join(name(input)), input)
}

/// FNV-1a.
fn name(input: &[u8]) -> impl AsRef<Path> {
    let hash = input.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    format!("{hash:016x}")
}
