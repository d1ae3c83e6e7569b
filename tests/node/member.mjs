// A member of a bus that shares documents: a process as one with an Exchange of the reference.
//
//   node member.mjs connect|join PATH 2|3 ID [DIRECTORY]
//
// With a directory, Loro and Yjs documents are in the libraries that are installed there (exchange/libraries.mjs).
// `connect` comes again 20 ms after its connection has ended. `join` does so too, and listens where no process
// does, as a leaderless peer of the reference: then it passes on what it imports.
//
// In, one JSON command a line on stdin:
//   {"doc": D, "open": TYPE}     a type of exchange/types.mjs; a document that a peer presents opens by itself
//   {"doc": D, "edit": [[NAME, PATH, ...], ...]}     one batch; the edits are those of exchange/changes.mjs
//   {"doc": D, "get": true}      answered with `value`
//   {"doc": D, "close": true}    destroys the replica
//   {"quit": true}               departs and ends
// Out, one JSON event a line on stdout:
//   {"event": "connected" | "listening" | "closed"}
//   {"event": "value", "doc": D, "value": V, "version": TEXT}     on each change, and for `get`
//   {"event": "error", "reason": TEXT}     nothing of this is to be expected

import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { createInterface } from "node:readline";
import { Channel } from "./channel.mjs";
import { Exchange } from "./exchange/exchange.mjs";
import { load } from "./exchange/libraries.mjs";
import { BINDINGS, TYPES } from "./exchange/types.mjs";
import { fromWire, toWire } from "./exchange/wire.mjs";

const [role, path, wireText, id, directory] = process.argv.slice(2);
const wire = Number(wireText);
for (const [bind, Content] of Object.entries(directory ? load(directory) : {})) BINDINGS[bind].Content = Content;
const PAUSE = 20;

const report = (event) => process.stdout.write(JSON.stringify(event) + "\n");
const failed = (reason) => report({ event: "error", reason: String(reason) });

const show = (doc) => {
  const content = exchange.docs.get(doc)?.content;
  report({ event: "value", doc, value: content?.value(), version: content?.version() });
};

const exchange = new Exchange({
  id,
  release: wire - 1,
  types: Object.values(TYPES).filter(({ hashes }) => hashes[wire - 2] !== undefined),
  // A process that comes again without its documents starts other operations.
  writer: `${id}-${randomBytes(8).toString("hex")}`,
  lineage: () => randomBytes(8).toString("hex"),
  now: () => Date.now(),
  send: (channel, message) => channel.write(toWire(channel, message)),
  changed: show,
  refused: (doc, error) => failed(`${doc}: ${error.stack}`),
});

const sockets = new Set();

function attach(socket) {
  const channel = new Channel(socket, wire, {
    receive: (message) => exchange.receive(channel, fromWire(message)),
    failed,
  });
  sockets.add(socket);
  socket.on("error", () => {});
  socket.on("close", () => {
    sockets.delete(socket);
    exchange.closed(channel);
  });
  return channel;
}

const retry = () => setTimeout(dial, PAUSE);

function dial() {
  let isConnected = false;
  const socket = connect(path, () => {
    isConnected = true;
    report({ event: "connected" });
    const channel = attach(socket);
    socket.on("close", () => {
      report({ event: "closed" });
      retry();
    });
    exchange.connected(channel);
  });
  socket.on("error", ({ code }) => {
    if (isConnected) return;
    const isFree = code === "ENOENT" || code === "ECONNREFUSED";
    if (role === "join" && isFree) listen();
    else retry();
  });
}

function listen() {
  rmSync(path, { force: true });
  createServer(attach)
    .on("error", retry)
    .listen(path, () => report({ event: "listening" }));
}

function obey({ doc, open, edit, get, close, quit }) {
  if (open) exchange.open(doc, TYPES[open]);
  if (edit) exchange.edit(doc, edit);
  if (get) show(doc);
  if (close) exchange.destroy(doc);
  if (quit) {
    exchange.depart();
    for (const socket of sockets) socket.end(() => socket.destroy());
    setTimeout(() => process.exit(0), PAUSE);
  }
}

createInterface({ input: process.stdin })
  .on("line", (line) => obey(JSON.parse(line)))
  .on("close", () => process.exit(0));
dial();
