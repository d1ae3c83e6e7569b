// One connection: frames of one wire version, and the names that aliases stand for.
//
// In: a socket, and wire messages to send. Out: wire messages with `doc` and `sh` filled in, each once.
// It behaves like the reference: frames of the other wire version are measured with this version's header
// and skipped, and aliases are used once both sides have said so.

import { decode, encode } from "./cbor.mjs";

export const T = { establish: 1, depart: 2, present: 16, interest: 17, offer: 18, dismiss: 19, vacant: 20 };
export const NAMES = Object.fromEntries(Object.entries(T).map(([name, t]) => [t, name]));

export class Channel {
  /** `receive(message)`; `failed(reason)`; `dribble`: a byte a write. */
  constructor(socket, wire, { receive, failed, dribble = false }) {
    Object.assign(this, { socket, wire, receive, failed, dribble });
    this.unread = [];
    this.held = 0;
    this.seq = 0;
    this.mutual = false;
    this.mine = { docs: new Map(), schemas: new Map() };
    this.theirs = { docs: new Map(), schemas: new Map() };
    this.written = Promise.resolve();
    socket.on("data", (chunk) => this.read(chunk));
  }

  // Out.

  frame(message) {
    const payload = encode(message);
    const header = Buffer.alloc(this.wire === 3 ? 10 : 6);
    header[0] = this.wire;
    header.writeUInt32BE(payload.length, 2);
    if (this.wire === 3) header.writeUInt32BE(++this.seq, 6);
    return Buffer.concat([header, payload]);
  }

  /** The messages in one write, or a byte a write. */
  write(...messages) {
    const bytes = Buffer.concat(messages.map((message) => this.frame(message)));
    if (!this.dribble) return this.socket.write(bytes);
    this.written = this.written.then(async () => {
      for (const byte of bytes) {
        await new Promise((done) => this.socket.write(Buffer.from([byte]), done));
      }
    });
  }

  /** `doc` or `dx`, as the reference chooses. */
  name(doc) {
    const alias = this.mutual ? this.mine.docs.get(doc) : undefined;
    return alias === undefined ? { doc } : { dx: alias };
  }

  /** An entry of `present`; gives the document its alias, and the schema at its first use. */
  entry({ doc, replica, mode, hash, hashes }) {
    const { docs, schemas } = this.mine;
    if (!docs.has(doc)) docs.set(doc, docs.size);
    const known = schemas.has(hash);
    if (!known) schemas.set(hash, schemas.size);
    const sa = schemas.get(hash);
    const named = !known ? { sh: hash, sa } : this.mutual ? { shx: sa } : { sh: hash };
    return { d: doc, a: docs.get(doc), rt: replica, ms: mode, ...named, shs: hashes };
  }

  // In.

  read(chunk) {
    this.unread.push(chunk);
    this.held += chunk.length;
    const headerSize = this.wire === 3 ? 10 : 6;
    for (;;) {
      if (this.held < headerSize) return;
      if (this.unread[0].length < headerSize) this.unread = [Buffer.concat(this.unread)];
      const size = headerSize + this.unread[0].readUInt32BE(2);
      if (this.held < size) return;
      const bytes = this.unread.length > 1 ? Buffer.concat(this.unread) : this.unread[0];
      this.unread = bytes.length > size ? [bytes.subarray(size)] : [];
      this.held -= size;
      if (bytes[0] !== this.wire) continue;
      if (this.wire === 3) this.checkSeq(bytes.readUInt32BE(6));
      this.receive(this.named(decode(bytes.subarray(headerSize, size))));
    }
  }

  checkSeq(seq) {
    this.lastSeq = (this.lastSeq ?? 0) + 1;
    if (seq !== this.lastSeq) this.failed(`seq ${seq} after ${this.lastSeq - 1}`);
  }

  /** Learns aliases, and puts the names in their place. */
  named(message) {
    if (message.t === T.establish) this.mutual = message.f?.a === true;
    for (const entry of message.docs ?? []) {
      this.theirs.docs.set(entry.a, entry.d);
      if (entry.sa !== undefined) this.theirs.schemas.set(entry.sa, entry.sh);
      entry.sh ??= this.theirs.schemas.get(entry.shx);
    }
    if (message.dx !== undefined) message.doc = this.theirs.docs.get(message.dx);
    return message;
  }
}
