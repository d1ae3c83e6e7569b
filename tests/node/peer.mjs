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
import { Channel, NAMES, T } from "./channel.mjs";

const [role, path, wireText, ...options] = process.argv.slice(2);
const wire = Number(wireText);
const echo = options.includes("echo");
const dribble = options.includes("dribble");

const report = (event) => process.stdout.write(JSON.stringify(event) + "\n");

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
    this.established = false;
    this.channel = new Channel(socket, wire, {
      receive: (message) => this.receive(message),
      failed: (code) => report({ event: "error", code }),
      dribble,
    });
    socket.on("end", () => report({ event: "end" }));
    socket.on("error", (error) => report({ event: "error", code: error.code }));
    socket.on("close", () => {
      report({ event: "close" });
      if (role === "connect") setImmediate(() => process.exit(0));
    });
  }

  // Out.

  establish() {
    this.channel.write({ t: T.establish, id: "node", n: "Node", y: "bot", f: { a: true } });
  }

  present(entries) {
    const docs = entries.map(([doc, hash]) => {
      return this.channel.entry({ doc, replica: ["loro", 1, 0], mode: 0, hash });
    });
    return { t: T.present, docs };
  }

  offer(doc, version, data) {
    return { t: T.offer, pk: 0, pe: 1, d: data, v: version, ...this.channel.name(doc) };
  }

  // In.

  receive(message) {
    const type = NAMES[message.t];
    if (type === "establish") {
      if (this.established) return report({ event: "established-again" });
      this.established = true;
      this.establish();
      return report({ event: "established", peer: message.id, type: message.y });
    }
    if (type === "depart") return report({ event: "departed" });
    if (!this.established) return;
    if (type === "present") {
      const docs = message.docs.map((entry) => ({
        doc: entry.d,
        schema: entry.sh,
        aliased: entry.shx !== undefined,
        replica: entry.rt,
        mode: MODES[entry.ms],
      }));
      return report({ event: "present", docs });
    }
    const { doc } = message;
    const fields = { event: type, doc, aliased: message.dx !== undefined, version: message.v };
    if (type === "offer") {
      fields.size = message.d.length;
      fields.intact = message.d.equals(pattern(message.d.length));
      if (echo) this.channel.write(this.offer(doc, message.v, message.d));
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
        return { t: T.interest, ...this.channel.name(value) };
      case "dismiss":
      case "vacant":
        return { t: T[name], ...this.channel.name(value) };
      case "depart":
        return { t: T.depart };
      case "batch":
        return void this.channel.write(...value.map((one) => this.command(one)));
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

let peer;
createInterface({ input: process.stdin }).on("line", (line) => {
  const message = peer.command(JSON.parse(line));
  if (message) peer.channel.write(message);
});

if (role === "listen") {
  createServer((socket) => {
    peer = new Peer(socket);
  }).listen(path, () => report({ event: "listening" }));
} else {
  const socket = connect(path, () => peer.establish());
  peer = new Peer(socket);
}
