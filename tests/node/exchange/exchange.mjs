// What an Exchange of the reference does above the channel: which documents it presents, what it answers, and
// when it pushes. It holds a replica of each document, and passes on what it imports to its other peers.
//
// In: channels that open and close, messages, edits. Out: messages to channels. Time and randomness are handed
// in. `release` is 1 (wire version 2) or 2 (wire version 3).

import { BINDINGS, bindingOf } from "./types.mjs";

export class Exchange {
  /**
   * `send(channel, message)`; `changed(doc)`; `refused(doc, error)`; `now()` in milliseconds; `lineage()`; `writer`: where ids of
   * operations come from. Policies: `types` that are known before a document is opened; `resolve` of others:
   * "reject", "defer" or "replicate"; `replicas`: the bindings that it can hold; `allows(gate, doc, peer)` for
   * the gates "connect", "share", "accept" and "reset".
   */
  constructor({ id, release, send, changed = () => {}, refused = () => {}, now, lineage, writer = id, ...policies }) {
    const { types = [], resolve, replicas = ["json", "ephemeral", "state"], allows = () => true } = policies;
    Object.assign(this, { id, release, send, changed, refused, now, lineage, writer, resolve, allows });
    this.types = new Set(types);
    this.replicas = new Set([...replicas, ...types.map(({ bind }) => bind)]);
    /** Document -> Held. */
    this.docs = new Map();
    this.suspended = new Map();
    /** Peer's id -> {id, channels, states: document -> "pending" | "synced" | "vacant"}. */
    this.peers = new Map();
    /** Channel -> peer, once it is established. */
    this.established = new Map();
  }

  // --- documents ------------------------------------------------------------------------------

  /** Opens a document, or one that was only passed on or deferred. */
  open(doc, type) {
    this.register(type);
    const held = this.docs.get(doc);
    if (held?.type || this.suspended.has(doc)) return;
    this.hold(doc, type, { ...held?.entry, ...this.entryOf(doc, type) }, held?.content);
  }

  register(type) {
    if (this.types.has(type)) return;
    this.types.add(type);
    this.replicas.add(type.bind);
    for (const [doc, held] of this.docs) {
      if (!held.content && this.matches(type, held.entry)) this.open(doc, type);
    }
  }

  hold(doc, type, entry, content) {
    const { release, lineage, now, writer } = this;
    const { Content } = BINDINGS[type?.bind ?? bindingOf(entry)];
    content ??= new Content({ decl: type?.decl, release, lineage, now, writer });
    this.docs.set(doc, { type, entry, content, baseline: content.version() });
    this.announce(doc);
    this.changed(doc);
  }

  entryOf(doc, type) {
    const { replica, mode } = BINDINGS[type.bind];
    const [hash, ...older] = type.hashes.slice(this.release - 1, this.release).concat(type.older ?? []);
    return { doc, replica, mode, hash, hashes: older.length > 0 ? [hash, ...older] : undefined };
  }

  /** Presents a document, and asks for it. */
  announce(doc) {
    const { entry, content } = this.docs.get(doc);
    for (const peer of this.audience(doc)) this.tell(peer, { type: "present", docs: [entry] });
    if (!content) return;
    for (const peer of this.audience(doc)) this.ask(peer, doc, entry.mode === 0);
  }

  edit(doc, ops) {
    const held = this.docs.get(doc);
    const { content } = held ?? this.suspended.get(doc);
    const pushes = content.edit(ops);
    for (let i = 0; held && i < pushes; i++) this.push(doc);
    this.changed(doc);
  }

  value(doc) {
    return (this.docs.get(doc) ?? this.suspended.get(doc))?.content?.value();
  }

  destroy(doc) {
    const held = this.docs.get(doc);
    this.docs.delete(doc);
    this.suspended.delete(doc);
    if (held) for (const peer of this.audience(doc)) this.tell(peer, { type: "dismiss", doc });
  }

  suspend(doc) {
    const held = this.docs.get(doc);
    this.destroy(doc);
    this.suspended.set(doc, held);
  }

  /** The schemas that it supports besides its own are forgotten. */
  resume(doc) {
    const { type, entry, content } = this.suspended.get(doc);
    this.suspended.delete(doc);
    this.hold(doc, type, { ...entry, hashes: undefined }, content);
  }

  // --- channels -------------------------------------------------------------------------------

  connected(channel) {
    this.send(channel, { type: "establish", id: this.id });
  }

  closed(channel) {
    this.established.get(channel)?.channels.delete(channel);
    this.established.delete(channel);
  }

  /** Leaves on purpose. */
  depart() {
    for (const channel of this.established.keys()) this.send(channel, { type: "depart" });
  }

  establish(channel, { id }) {
    if (this.established.has(channel) || !this.allows("connect", undefined, id)) return;
    if (!this.peers.has(id)) this.peers.set(id, { id, channels: new Set(), states: new Map() });
    const peer = this.peers.get(id);
    const isNew = peer.channels.size === 0;
    peer.channels.add(channel);
    this.established.set(channel, peer);
    this.send(channel, { type: "establish", id: this.id });
    const docs = [...this.docs.values()].map(({ entry }) => entry).filter(({ doc }) => this.allows("share", doc, id));
    if (isNew && docs.length > 0) this.tell(peer, { type: "present", docs });
  }

  receive(channel, message) {
    if (message.type === "establish") return this.establish(channel, message);
    const peer = this.established.get(channel);
    if (!peer) return;
    if (message.type === "depart") {
      this.peers.delete(peer.id);
      for (const channel of peer.channels) this.established.delete(channel);
    } else if (message.type === "present") {
      for (const entry of message.docs) this.presented(peer, entry);
    } else {
      const held = this.docs.get(message.doc);
      if (held?.content) this[message.type](peer, held, message);
    }
  }

  /** On every channel of the peer. */
  tell(peer, message) {
    for (const channel of peer.channels) this.send(channel, message);
  }

  ask(peer, doc, reciprocate) {
    this.tell(peer, { type: "interest", doc, version: this.docs.get(doc).content.version(), reciprocate });
  }

  audience(doc) {
    return [...this.peers.values()].filter(({ id, channels }) => channels.size > 0 && this.allows("share", doc, id));
  }

  /** What is new since the last push, to all that asked. */
  push(doc, except) {
    const { entry, content, baseline } = this.docs.get(doc);
    const payload = content.since(entry.mode === 2 ? undefined : baseline);
    for (const peer of this.audience(doc)) {
      const asked = ["pending", "synced"].includes(peer.states.get(doc));
      if (peer === except || !asked || !payload) continue;
      this.tell(peer, { type: "offer", doc, ...payload, version: content.version() });
    }
    this.docs.get(doc).baseline = content.version();
  }

  // --- messages -------------------------------------------------------------------------------

  presented(peer, entry) {
    const held = this.docs.get(entry.doc);
    if (!held) {
      if (this.allows("share", entry.doc, peer.id)) this.resolveUnknown(peer, entry);
    } else if (compatible(held.entry, entry) && held.content) {
      this.ask(peer, entry.doc, entry.mode === 0);
    }
  }

  matches(type, { replica, mode, hash }) {
    const own = this.entryOf(undefined, type);
    const isSame = own.replica[0] === replica[0] && own.replica[1] === replica[1] && own.mode === mode;
    return isSame && (own.hashes ?? [own.hash]).includes(hash);
  }

  /** A document that is not held: it is opened, passed on, deferred, or declared vacant. */
  resolveUnknown(peer, { doc, replica, mode, hash }) {
    const entry = { doc, replica, mode, hash };
    const type = [...this.types].find((type) => this.matches(type, entry));
    if (type) return this.open(doc, type);
    const canHold = [...this.replicas].some((bind) => BINDINGS[bind].replica[0] === replica[0]);
    if (this.resolve === "replicate" && this.replicas.has(bindingOf(entry))) {
      this.hold(doc, undefined, entry);
    } else if (this.resolve === "defer" || (!this.resolve && canHold)) {
      this.docs.set(doc, { entry });
      this.announce(doc);
    } else if (this.release === 2) {
      this.tell(peer, { type: "vacant", doc });
    }
  }

  interest(peer, { entry, content }, { doc, version, reciprocate }) {
    const payload = content.since(entry.mode === 2 ? undefined : version);
    if (payload) this.tell(peer, { type: "offer", doc, ...payload, version: content.version(), reciprocate: false });
    if (reciprocate && entry.mode === 0) this.ask(peer, doc, false);
    peer.states.set(doc, reciprocate ? "pending" : "synced");
  }

  offer(peer, held, message) {
    const { doc, reciprocate } = message;
    if (reciprocate) this.ask(peer, doc, false);
    if (this.allows("accept", doc, peer.id) && this.take(peer, held, message)) {
      this.push(doc, peer);
      this.changed(doc);
    }
  }

  /** True when something was imported. */
  take(peer, { entry, content }, message) {
    const { doc, version, kind } = message;
    const order = content.compare(version);
    if (order === undefined) return false;
    const imports = order === "behind" || order === "concurrent";
    if (imports) {
      const replaces = content.boundary(message) || (kind === "entirety" && this.hasSynced(peer, entry));
      if (replaces && !this.allows("reset", doc, peer.id)) return false;
      if (replaces && kind === "since") {
        this.ask(peer, doc, false);
        return false;
      }
      try {
        if (replaces) content.reset(message);
        else content.merge(message);
      } catch (error) {
        this.refused(doc, error);
        return false;
      }
    }
    peer.states.set(doc, "synced");
    return imports;
  }

  /** So an entirety takes the place of what is here. */
  hasSynced(peer, { doc, mode }) {
    if (this.release === 2) return mode !== 2 && peer.states.get(doc) === "synced";
    return [...this.peers.values()].some(({ states }) => states.get(doc) === "synced");
  }

  dismiss(peer, _, { doc }) {
    peer.states.delete(doc);
  }

  vacant(peer, _, { doc }) {
    if (this.release === 2) peer.states.set(doc, "vacant");
  }
}

function compatible(own, theirs) {
  const hashes = ({ hash, hashes }) => hashes ?? [hash];
  const isSameReplica = own.replica[0] === theirs.replica[0] && own.replica[1] === theirs.replica[1];
  return isSameReplica && own.mode === theirs.mode && hashes(own).some((hash) => hashes(theirs).includes(hash));
}
