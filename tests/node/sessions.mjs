// Replays whole sessions of the reference with Exchanges of ours, and compares each message that is sent.
//
//   node sessions.mjs FILE
//
// In: sessions, as the first element of the file describes them. Out: the first difference of each session that
// has one, then one line of JSON: how many sessions of which kind are equal, how many messages were compared.
//
// Equal means: the same messages in the same order over all links, with the same documents, hashes, `reciprocate`
// and kinds of payload; and the same values at the end. Json payloads and versions are compared as texts, but that
// lineages have other names. Of loro and yjs, payloads are compared by whether they are empty, and versions by the
// count of each writer.

import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { Exchange } from "./exchange/exchange.mjs";
import { BINDINGS, bindingOf } from "./exchange/types.mjs";

/** Exchanges, and links that deliver in order, the oldest message first, when they are let. */
class World {
  constructor(session, types) {
    this.session = session;
    this.time = 1_750_000_000_000;
    this.lineages = 0;
    this.exchanges = new Map();
    this.links = [];
    this.underWay = [];
    this.sent = [];
    this.losses = [];
    this.types = Object.fromEntries(
      Object.entries(types).map(([name, { hash, ...type }]) => [name, { ...type, name, hashes: [hash, hash] }]),
    );
    for (const name of Object.keys(session.peers)) this.start(name);
  }

  start(name) {
    const { peerId: id = name, schemas = [], ...options } = this.session.peers[name];
    const denied = { share: options.denyShare, accept: options.denyAccept, reset: options.denyReset };
    const exchange = new Exchange({
      id,
      release: this.session.release,
      send: (channel, message) => this.transmit(name, channel, message),
      now: () => this.time,
      lineage: () => (++this.lineages).toString(16).padStart(16, "0"),
      types: schemas.map((type) => this.types[type]),
      resolve: options.resolve,
      replicas: options.replicas,
      allows: (gate, doc, peer) =>
        gate === "connect"
          ? !options.denyConnect?.includes(peer)
          : !denied[gate]?.some((pair) => isDeepStrictEqual(pair, [doc, peer])),
    });
    this.exchanges.set(name, exchange);
  }

  transmit(from, link, message) {
    const to = link.ends.find((end) => end !== from) ?? from;
    message = JSON.parse(JSON.stringify(message, (_, value) => value));
    if (message.data?.type === "Buffer") message.data = Buffer.from(message.data.data);
    this.sent.push([from, to, message]);
    const loss = this.losses.find((loss) => loss.from === from && loss.to === to && loss.count > 0);
    if (loss) loss.count--;
    else this.underWay.push({ link, to, message });
  }

  cut(link) {
    this.links = this.links.filter((other) => other !== link);
    this.underWay = this.underWay.filter((message) => message.link !== link);
    for (const end of link.ends) this.exchanges.get(end)?.closed(link);
  }

  run() {
    for (let i = 0; i < 10_000 && this.underWay.length > 0; i++) {
      const { link, to, message } = this.underWay.shift();
      this.exchanges.get(to).receive(link, message);
    }
  }

  step(step) {
    this.time += 100;
    const exchange = this.exchanges.get(step.peer);
    switch (step.do) {
      case "open":
        return exchange.open(step.doc, this.types[step.type]);
      case "register-schema":
        return exchange.register(this.types[step.type]);
      case "edit":
        return exchange.edit(step.doc, step.ops);
      case "destroy":
      case "suspend":
      case "resume":
        return exchange[step.do](step.doc);
      case "connect": {
        const link = { ends: [step.from, step.to] };
        this.links.push(link);
        return this.exchanges.get(step.from).connected(link);
      }
      case "disconnect":
        return this.cut(this.links.find(({ ends }) => ends.includes(step.a) && ends.includes(step.b)));
      case "lose":
        return this.losses.push({ from: step.peer, to: step.to, count: step.count });
      case "inject": {
        const link = this.links.find(({ ends }) => ends.includes(step.from) && ends.includes(step.to));
        const message = { ...step.msg };
        if (message.data?.$bytes !== undefined) message.data = Buffer.from(message.data.$bytes, "hex");
        return this.exchanges.get(step.to).receive(link, message);
      }
      case "crash":
      case "stop":
        if (step.do === "stop") exchange.depart();
        if (step.do === "stop") this.run();
        for (const link of this.links) if (link.ends.includes(step.peer)) this.cut(link);
        return this.exchanges.delete(step.peer);
      case "start":
        return this.start(step.peer);
      case "run":
        return this.run();
      default:
        throw new Error(`no such step: ${step.do}`);
    }
  }
}

/** Whether two versions of one document mean the same. */
class Versions {
  constructor() {
    this.pairs = new Map();
  }

  equal(bind, ours, theirs) {
    if (ours === undefined || theirs === undefined) return ours === theirs;
    if (bind === "json") return this.equalLineages(ours, theirs);
    if (bind !== "loro" && bind !== "yjs") return ours === theirs;
    const parse = BINDINGS[bind].Content.prototype.parse;
    const counts = (text) => [...parse(text)].sort();
    if (!isDeepStrictEqual(counts(ours), counts(theirs))) return false;
    if (bind === "loro") return true;
    // The second part has the same form, and follows from what is known alone.
    const forms = [ours, theirs].map((text) => text.split(".").length === 2 && /^[0-9a-f]{32}$/.test(text.split(".")[1]));
    return forms[0] === forms[1] && this.corresponds(ours, theirs);
  }

  /** Lineages are drawn: one of ours stands for one of theirs. `<lineage>:<n>`, or the lineage alone. */
  equalLineages(ours, theirs) {
    if (ours === undefined || theirs === undefined) return ours === theirs;
    const [[lineage, ...count], [theirLineage, ...theirCount]] = [ours.split(":"), theirs.split(":")];
    return this.corresponds(lineage, theirLineage) && count[0] === theirCount[0];
  }

  corresponds(ours, theirs) {
    for (const [from, to] of [[ours, theirs], [theirs, ours]]) {
      const known = this.pairs.get(from) ?? to;
      this.pairs.set(from, known);
      if (known !== to) return false;
    }
    return true;
  }
}

/** The first difference, if there is one. */
function difference(ours, theirs, binds, versions) {
  if (!ours) return "it is not sent";
  if (!theirs) return "nothing more is sent";
  const [from, to, message] = ours;
  const [theirFrom, theirTo, expected] = theirs;
  if (from !== theirFrom || to !== theirTo) return "the ends differ";
  const { version, data, lineage, ...rest } = message;
  const { version: theirVersion, data: theirData, lineage: theirLineage, ...theirRest } = expected;
  if (!isDeepStrictEqual(rest, theirRest)) return "the fields differ";
  const bind = binds.get(message.doc);
  if (!versions.equal(bind, version, theirVersion)) return "the versions differ";
  if (!versions.equalLineages(lineage, theirLineage)) return "the lineages differ";
  if (theirData?.$empty === undefined) return data === theirData ? undefined : "the data differ";
  const isEmpty = data.toString() === "[[],[]]";
  return isEmpty === theirData.$empty ? undefined : "one payload is empty";
}

function replay(session, types) {
  const world = new World(session, types);
  const versions = new Versions();
  const binds = new Map();
  for (const step of session.steps) {
    if (step.type) binds.set(step.doc, types[step.type].bind);
    world.sent = [];
    world.step(step);
    const expected = step.sent ?? [];
    for (const [, , { docs = [] }] of expected) for (const entry of docs) binds.set(entry.doc, bindingOf(entry));
    for (let i = 0; i < Math.max(expected.length, world.sent.length); i++) {
      const differs = difference(world.sent[i], expected[i], binds, versions);
      if (differs) {
        const texts = [world.sent[i], expected[i]].map((message) => JSON.stringify(message));
        return `step ${session.steps.indexOf(step)}, message ${i}: ${differs}\n  ours   ${texts[0]}\n  theirs ${texts[1]}`;
      }
    }
  }
  return finalDifference(world, session, binds);
}

/** Values at the end. Those of loro and yjs merge by rules of their own. */
function finalDifference(world, session, binds) {
  for (const [name, docs] of Object.entries(session.final)) {
    for (const [doc, value] of Object.entries(docs)) {
      if (["loro", "yjs"].includes(binds.get(doc))) continue;
      const ours = world.exchanges.get(name).value(doc);
      if (!isDeepStrictEqual(ours, value)) {
        return `${name} ends with ${JSON.stringify(ours)} in ${doc}, not ${JSON.stringify(value)}`;
      }
    }
  }
}

const [, types, ...sessions] = JSON.parse(readFileSync(process.argv[2], "utf8"));
const equal = {};
let messages = 0;
for (const session of sessions) {
  // Its documents keep all of their history.
  if (session.steps.some((step) => step.do === "compact")) continue;
  const differs = replay(session, types[session.release]);
  const kind = `${session.name.split("/")[0]}, release ${session.release}`;
  if (differs) {
    process.exitCode = 1;
    console.log(`${session.name}, release ${session.release}: ${differs}`);
  } else {
    equal[kind] = (equal[kind] ?? 0) + 1;
    messages += session.steps.reduce((sum, { sent = [] }) => sum + sent.length, 0);
  }
}
const count = Object.values(equal).reduce((sum, some) => sum + some, 0);
console.log(JSON.stringify({ equal, sessions: count, messages }));
