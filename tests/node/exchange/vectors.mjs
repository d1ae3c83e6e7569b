// Documents that merge, as loro's and yjs's do: a set of operations, each of a writer and counted by it. The
// payload is an encoding of this file's own; versions have the form of the libraries'.
//
// In: edits, and payloads in any order, twice, early. Out: payloads, and the version: how far the operations of
// each writer are known without a gap. All replicas that know the same operations have the same value.

import { apply, changeOf, pushesOf, zero } from "./changes.mjs";
import { fnv128, fnv32, fnv64 } from "./hashes.mjs";

// --- versions ---------------------------------------------------------------------------------

function varint(n) {
  const bytes = [];
  for (n = BigInt(n); n > 127n; n >>= 7n) bytes.push(Number(n & 127n) | 128);
  return [...bytes, Number(n)];
}

function* varints(bytes) {
  for (let n = 0n, shift = 0n, i = 0; i < bytes.length; i++) {
    n |= BigInt(bytes[i] & 127) << shift;
    shift += 7n;
    if (bytes[i] < 128) {
      yield n;
      [n, shift] = [0n, 0n];
    }
  }
}

/** Writer (decimal text) -> count, with the count stored as `scale` times itself. */
function vectorOf(text, scale) {
  const [entries, ...rest] = varints(Buffer.from(text, "base64"));
  if (entries === undefined || rest.length < 2 * Number(entries)) return undefined;
  const vector = new Map();
  for (let i = 0; i < 2 * Number(entries); i += 2) vector.set(String(rest[i]), Number(rest[i + 1]) / scale);
  return vector;
}

function vectorText(vector, scale) {
  const entries = [...vector].filter(([, count]) => count > 0);
  entries.sort(([a], [b]) => (BigInt(a) < BigInt(b) ? 1 : -1));
  const bytes = entries.flatMap(([writer, count]) => [...varint(writer), ...varint(count * scale)]);
  return Buffer.from([...varint(entries.length), ...bytes]).toString("base64");
}

function compareVectors(own, theirs) {
  const more = (a, b) => [...a].some(([writer, count]) => count > (b.get(writer) ?? 0));
  const [ahead, behind] = [more(own, theirs), more(theirs, own)];
  return ahead && behind ? "concurrent" : ahead ? "ahead" : behind ? "behind" : "equal";
}

// --- documents --------------------------------------------------------------------------------

class Vectors {
  constructor({ decl, release }) {
    this.decl = decl ?? { k: "struct", fields: [] };
    this.release = release;
    /** Key -> operation: {writer, from, length, lamport, change, nth, after: writer -> count}. */
    this.known = new Map();
    /** The same, of those that lack a predecessor. */
    this.pending = new Map();
    this.vector = new Map();
    /** The keys of operations whose values are deleted, as others say. */
    this.gone = new Set();
    this.lamport = 0;
  }

  boundary() {
    return false;
  }

  edit(ops) {
    const changes = [];
    for (const op of ops) {
      const change = changeOf(this.value(), op);
      const from = this.vector.get(this.writer) ?? 0;
      const length = this.lengthOf(change, this.fieldAt(op[1]));
      // One without a length is in no vector: it gets a number.
      const nth = length === 0 ? this.known.size : undefined;
      const after = this.dependencies();
      this.add({ writer: this.writer, from, length, lamport: this.lamport + 1, change, nth, after });
      changes.push(change);
    }
    return pushesOf(changes);
  }

  fieldAt(path) {
    return path.reduce((decl, step) => {
      return decl?.k === "struct" ? decl.fields.find(([name]) => name === step)?.[1] : decl?.item;
    }, this.decl);
  }

  /** Takes an operation once, and not before those that it depends on. */
  add(operation) {
    const { writer, from, length, nth, after = {} } = operation;
    const key = `${writer} ${from} ${nth ?? ""}`;
    const count = (writer) => this.vector.get(writer) ?? 0;
    if (this.known.has(key) || from + length < count(writer)) return;
    if (from > count(writer) || Object.entries(after).some(([other, needed]) => needed > count(other))) {
      this.pending.set(key, operation);
      return;
    }
    this.pending.delete(key);
    this.known.set(key, operation);
    this.vector.set(writer, Math.max(count(writer), from + length));
    this.lamport = Math.max(this.lamport, operation.lamport);
    for (const waiting of this.pending.values()) this.add(waiting);
  }

  since(text) {
    const theirs = text ? this.parse(text) : new Map();
    if (!theirs) return undefined;
    // Those without a length are in no vector.
    const missing = [...this.known.values()].filter(({ writer, from, length }) => {
      return length === 0 || from + length > (theirs.get(writer) ?? 0);
    });
    const kind = text ? "since" : "entirety";
    const lineage = text || this.release === 1 ? undefined : "kyneta.genesis";
    const payload = [[...missing, ...this.waiting()], [...this.deleted()]];
    const data = Buffer.from(JSON.stringify(payload));
    return { kind, encoding: "binary", data, lineage };
  }

  merge(offer) {
    const [operations, deleted] = JSON.parse(Buffer.from(offer.data).toString("utf8"));
    for (const operation of operations) this.add(operation);
    for (const key of deleted) this.gone.add(key);
  }

  reset(offer) {
    this.merge(offer);
  }

  /** In an order that all replicas agree on. */
  inOrder(operations = this.known) {
    const order = (a, b) => a.lamport - b.lamport || (a.writer < b.writer ? -1 : a.writer > b.writer ? 1 : 0);
    return [...operations].sort(([, a], [, b]) => order(a, b));
  }

  value() {
    const state = zero(this.decl);
    for (const [, { change }] of this.inOrder()) if (change) apply(state, change);
    return state;
  }
}

export class Loro extends Vectors {
  constructor(options) {
    super(options);
    this.writer = String(BigInt.asUintN(53, fnv64(options.writer)));
  }

  /** An operation follows all that its writer knew. */
  dependencies() {
    return Object.fromEntries(this.vector);
  }

  /** What lacks a predecessor is not passed on. */
  waiting() {
    return [];
  }

  /** Deletions are operations like others. */
  deleted() {
    return [];
  }

  /** Operations of a value: a container is one, and each that is in it. */
  lengthOf({ change }, decl) {
    const of = (value, decl) => {
      if (decl?.k === "text") return 1 + [...value].length;
      if (decl?.k === "struct") return decl.fields.reduce((sum, [name, field]) => sum + of(value[name], field), 1);
      return 1;
    };
    if (change.type === "sequence" || change.type === "text") {
      const { insert, delete: count } = change.instructions.at(-1);
      if (count !== undefined) return count;
      return change.type === "text" ? [...insert].length : of(insert[0], decl?.item);
    }
    return 1;
  }

  version() {
    return vectorText(this.vector, 2);
  }

  parse(text) {
    return vectorOf(text, 2);
  }

  compare(text) {
    const theirs = this.parse(text);
    return theirs && compareVectors(this.vector, theirs);
  }
}

export class Yjs extends Vectors {
  constructor(options) {
    super(options);
    this.writer = String(fnv32(options.writer) || 1n);
    // The containers of the schema are operations of writer 0.
    const count = (decl) => {
      if (decl.k === "struct") return decl.fields.reduce((sum, [, field]) => sum + count(field), 1);
      return ["text", "list", "record"].includes(decl.k) ? 1 : 0;
    };
    const length = count(this.decl) - 1;
    if (length > 0) this.add({ writer: "0", from: 0, length, lamport: 0 });
  }

  lengthOf({ change }) {
    const last = change.instructions?.at(-1);
    if (last?.delete !== undefined) return 0;
    return change.type === "text" ? last.insert.length : 1;
  }

  dependencies() {
    return {};
  }

  waiting() {
    return this.pending.values();
  }

  /** The operations that delete, and those whose value another has replaced. They are in every payload. */
  deleted() {
    const last = new Map();
    const deleted = new Set(this.gone);
    // One that waits for a predecessor deletes nevertheless.
    for (const [key, { length, change }] of this.inOrder([...this.known, ...this.pending])) {
      if (length === 0) deleted.add(key);
      if (change?.change.type !== "replace" && change?.change.type !== "map") continue;
      const { set, delete: gone = [] } = change.change;
      for (const field of set ? Object.keys(set) : gone.length > 0 ? gone : [""]) {
        const target = JSON.stringify([change.path, field]);
        if (last.has(target)) deleted.add(last.get(target));
        last.set(target, key);
      }
    }
    return [...deleted].filter((key) => this.known.has(key)).sort();
  }

  /** The second part says what was deleted. */
  version() {
    const vector = vectorText(this.vector, 1);
    const snapshot = Buffer.from(`${this.deleted().join()}.${vector}`);
    return `${vector}.${this.release === 1 ? snapshot.toString("base64") : fnv128(snapshot)}`;
  }

  parse(text) {
    return vectorOf(text.split(".")[0], 1);
  }

  compare(text) {
    const theirs = this.parse(text);
    if (!theirs) return undefined;
    const order = compareVectors(this.vector, theirs);
    return order === "equal" && text !== this.version() ? "concurrent" : order;
  }
}
