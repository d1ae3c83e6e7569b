// A peer like the reference's, on Node's own sockets, without packages.
//
//   node peer.mjs listen|connect PATH 2|3 [echo] [dribble]
//
// In: one JSON command a line on stdin. Out: one JSON event a line on stdout. It behaves like the
// reference where that matters to a peer: the connecting side sends `establish` at once and again when it
// is answered, the accepting side sends nothing before that, frames of the other wire version are ignored,
// and so are messages before `establish`.

import { connect, createServer } from "node:net";
import { createInterface } from "node:readline";

const [role, path, wireText, ...options] = process.argv.slice(2);
const wire = Number(wireText);
const echo = options.includes("echo");
const dribble = options.includes("dribble");

const report = (event) => process.stdout.write(JSON.stringify(event) + "\n");

// --- CBOR -------------------------------------------------------------------------------------

function head(major, n) {
  if (n < 24) return Buffer.from([(major << 5) | n]);
  const [info, size] = n < 0x100 ? [24, 1] : n < 0x10000 ? [25, 2] : [26, 4];
  const bytes = Buffer.alloc(1 + size);
  bytes[0] = (major << 5) | info;
  bytes.writeUIntBE(n, 1, size);
  return bytes;
}

/** Objects become maps whose undefined fields are left out. */
function encode(value) {
  if (value === false) return Buffer.from([0xf4]);
  if (value === true) return Buffer.from([0xf5]);
  if (typeof value === "number") return head(0, value);
  if (typeof value === "string") {
    const text = Buffer.from(value, "utf8");
    return Buffer.concat([head(3, text.length), text]);
  }
  if (Buffer.isBuffer(value)) return Buffer.concat([head(2, value.length), value]);
  if (Array.isArray(value)) return Buffer.concat([head(4, value.length), ...value.map(encode)]);
  const fields = Object.entries(value).filter(([, field]) => field !== undefined);
  return Buffer.concat([head(5, fields.length), ...fields.flat().map(encode)]);
}

function decode(bytes) {
  let at = 0;
  const take = (size) => {
    if (at + size > bytes.length) throw new Error(`the payload ends at ${bytes.length}`);
    at += size;
    return bytes.subarray(at - size, at);
  };
  const item = () => {
    const first = take(1)[0];
    const [major, info] = [first >> 5, first & 31];
    if (major === 7) {
      if (info === 20 || info === 21) return info === 21;
      throw new Error(`simple value ${info}`);
    }
    if (info > 26) throw new Error(`length form ${info}`);
    const size = info < 24 ? 0 : 1 << (info - 24);
    const n = size === 0 ? info : take(size).readUIntBE(0, size);
    if (major === 0) return n;
    if (major === 2) return take(n);
    if (major === 3) return take(n).toString("utf8");
    if (major === 4) return Array.from({ length: n }, item);
    if (major === 5) return Object.fromEntries(Array.from({ length: n }, () => [item(), item()]));
    throw new Error(`major type ${major}`);
  };
  const value = item();
  if (at !== bytes.length) throw new Error(`${bytes.length - at} bytes too many`);
  return value;
}

// --- one connection ---------------------------------------------------------------------------

const T = { establish: 1, depart: 2, present: 16, interest: 17, offer: 18, dismiss: 19, vacant: 20 };
const NAMES = Object.fromEntries(Object.entries(T).map(([name, t]) => [t, name]));
const MODES = ["collaborative", "authoritative", "ephemeral"];

/** Byte i is (i * 31 + 7) & 255, here as in the Rust tests. */
function pattern(size) {
  const bytes = Buffer.alloc(size);
  for (let i = 0; i < size; i++) bytes[i] = (i * 31 + 7) & 255;
  return bytes;
}

class Peer {
  constructor(socket) {
    this.socket = socket;
    this.unread = [];
    this.held = 0;
    this.seq = 0;
    this.established = false;
    this.mutual = false;
    this.mine = { docs: new Map(), schemas: new Map() };
    this.theirs = { docs: new Map(), schemas: new Map() };
    this.written = Promise.resolve();
    socket.on("data", (chunk) => this.read(chunk));
    socket.on("end", () => report({ event: "end" }));
    socket.on("error", (error) => report({ event: "error", code: error.code }));
    socket.on("close", () => {
      report({ event: "close" });
      if (role === "connect") setImmediate(() => process.exit(0));
    });
  }

  // Out.

  frame(message) {
    const payload = encode(message);
    const header = Buffer.alloc(wire === 3 ? 10 : 6);
    header[0] = wire;
    header.writeUInt32BE(payload.length, 2);
    if (wire === 3) header.writeUInt32BE(++this.seq, 6);
    return Buffer.concat([header, payload]);
  }

  /** The messages in one write, or a byte a write. */
  write(...messages) {
    const bytes = Buffer.concat(messages.map((message) => this.frame(message)));
    if (!dribble) return this.socket.write(bytes);
    this.written = this.written.then(async () => {
      for (const byte of bytes) {
        await new Promise((done) => this.socket.write(Buffer.from([byte]), done));
      }
    });
  }

  establish() {
    this.write({ t: T.establish, id: "node", n: "Node", y: "bot", f: { a: true } });
  }

  /** `doc` or `dx`, as the reference chooses. */
  name(doc) {
    const alias = this.mutual ? this.mine.docs.get(doc) : undefined;
    return alias === undefined ? { doc } : { dx: alias };
  }

  present(entries) {
    const docs = entries.map(([doc, schema]) => {
      const { docs, schemas } = this.mine;
      if (!docs.has(doc)) docs.set(doc, docs.size);
      const known = schemas.has(schema);
      if (!known) schemas.set(schema, schemas.size);
      const sa = schemas.get(schema);
      const named = !known ? { sh: schema, sa } : this.mutual ? { shx: sa } : { sh: schema };
      return { d: doc, a: docs.get(doc), rt: ["loro", 1, 0], ms: 0, ...named };
    });
    return { t: T.present, docs };
  }

  offer(doc, version, data) {
    return { t: T.offer, pk: 0, pe: 1, d: data, v: version, ...this.name(doc) };
  }

  // In.

  read(chunk) {
    this.unread.push(chunk);
    this.held += chunk.length;
    const headerSize = wire === 3 ? 10 : 6;
    for (;;) {
      if (this.held < headerSize) return;
      if (this.unread[0].length < headerSize) this.unread = [Buffer.concat(this.unread)];
      const size = headerSize + this.unread[0].readUInt32BE(2);
      if (this.held < size) return;
      const bytes = this.unread.length > 1 ? Buffer.concat(this.unread) : this.unread[0];
      this.unread = bytes.length > size ? [bytes.subarray(size)] : [];
      this.held -= size;
      // Measured with this version's header and skipped, as the reference does.
      if (bytes[0] !== wire) continue;
      if (wire === 3) this.checkSeq(bytes.readUInt32BE(6));
      this.receive(decode(bytes.subarray(headerSize, size)));
    }
  }

  checkSeq(seq) {
    this.lastSeq = (this.lastSeq ?? 0) + 1;
    if (seq !== this.lastSeq) report({ event: "error", code: `seq ${seq} after ${this.lastSeq - 1}` });
  }

  receive(message) {
    const type = NAMES[message.t];
    if (type === "establish") {
      this.mutual = message.f?.a === true;
      if (this.established) return report({ event: "established-again" });
      this.established = true;
      this.establish();
      return report({ event: "established", peer: message.id, type: message.y });
    }
    if (type === "depart") return report({ event: "departed" });
    if (!this.established) return;
    if (type === "present") {
      for (const entry of message.docs) {
        this.theirs.docs.set(entry.a, entry.d);
        if (entry.sa !== undefined) this.theirs.schemas.set(entry.sa, entry.sh);
      }
      const docs = message.docs.map((entry) => ({
        doc: entry.d,
        schema: entry.sh ?? this.theirs.schemas.get(entry.shx),
        aliased: entry.shx !== undefined,
        replica: entry.rt,
        mode: MODES[entry.ms],
      }));
      return report({ event: "present", docs });
    }
    const doc = message.doc ?? this.theirs.docs.get(message.dx);
    const fields = { event: type, doc, aliased: message.dx !== undefined, version: message.v };
    if (type === "offer") {
      fields.size = message.d.length;
      fields.intact = message.d.equals(pattern(message.d.length));
      if (echo) this.write(this.offer(doc, message.v, message.d));
    }
    report(fields);
  }

  /** What stdin asks for; gives the message to write, if it is one. */
  command(asked) {
    const [name] = Object.keys(asked);
    const value = asked[name];
    switch (name) {
      case "present":
        return this.present(value);
      case "offer":
        return this.offer(value, String(asked.version ?? 1), pattern(asked.size));
      case "interest":
        return { t: T.interest, ...this.name(value) };
      case "dismiss":
      case "vacant":
        return { t: T[name], ...this.name(value) };
      case "depart":
        return { t: T.depart };
      case "batch":
        return void this.write(...value.map((one) => this.command(one)));
      case "pause":
        this.socket.pause();
        report({ event: "paused" });
        return void setTimeout(() => this.socket.resume(), value);
      case "end":
        return void this.socket.end();
      case "destroy":
        return void this.socket.destroy();
      default:
        throw new Error(`no such command: ${name}`);
    }
  }
}

// --- the two roles ----------------------------------------------------------------------------

let peer;
createInterface({ input: process.stdin }).on("line", (line) => {
  const message = peer.command(JSON.parse(line));
  if (message) peer.write(message);
});

if (role === "listen") {
  createServer((socket) => {
    peer = new Peer(socket);
  }).listen(path, () => report({ event: "listening" }));
} else {
  const socket = connect(path, () => peer.establish());
  peer = new Peer(socket);
}
