// Documents that always go out as a whole, by the wall clock: `ephemeral`, whose offers replace each field,
// and `state`, each leaf of which has a time of its own.
//
// In: edits, payloads, the time. Out: payloads, and the version: milliseconds.

import { apply, changeOf, pushesOf, zero } from "./changes.mjs";

const milliseconds = (text) => {
  const at = Number(text);
  return text === "" || !(at >= 0) ? undefined : at;
};

export class Ephemeral {
  constructor({ decl, now }) {
    this.now = now;
    this.at = 0;
    this.state = zero(decl ?? { k: "struct", fields: [] });
  }

  version() {
    return String(this.at);
  }

  compare(text) {
    const theirs = milliseconds(text);
    if (theirs === undefined) return undefined;
    return this.at === theirs ? "equal" : this.at > theirs ? "ahead" : "behind";
  }

  boundary() {
    return false;
  }

  edit(ops) {
    const changes = ops.map((op) => {
      const change = changeOf(this.state, op);
      apply(this.state, change);
      return change;
    });
    this.at = this.now();
    return pushesOf(changes);
  }

  since() {
    return { kind: "entirety", encoding: "json", data: JSON.stringify(this.state) };
  }

  merge(offer) {
    Object.assign(this.state, JSON.parse(offer.data));
    this.at = this.now();
  }

  reset(offer) {
    this.merge(offer);
  }

  value() {
    return this.state;
  }
}

/** `{field: [value, milliseconds]}`, nested. */
export class State {
  constructor({ decl, now }) {
    this.now = now;
    this.at = 0;
    const leaf = (value) => (isTree(value) ? mapValues(value, leaf) : [value, 0]);
    this.tree = leaf(zero(decl ?? { k: "struct", fields: [] }));
  }

  version() {
    return String(this.at);
  }

  compare(text) {
    const theirs = milliseconds(text);
    if (theirs === undefined) return undefined;
    return this.at === theirs ? "equal" : "concurrent";
  }

  boundary() {
    return false;
  }

  /** Whole values alone enter the tree. */
  edit(ops) {
    this.at = this.now();
    for (const [name, path, value] of ops) {
      if (name !== "set") throw new Error(`${name} does not enter a state tree`);
      const parent = path.slice(0, -1).reduce((at, step) => (at[step] ??= {}), this.tree);
      parent[path.at(-1)] = [value, this.at];
    }
    return ops.length;
  }

  since() {
    const data = JSON.stringify(this.tree);
    return { kind: "entirety", encoding: "json", data, lineage: "kyneta.genesis" };
  }

  merge(offer) {
    mergeTrees(this.tree, JSON.parse(offer.data));
    this.at = this.now();
  }

  reset(offer) {
    this.merge(offer);
  }

  value() {
    const plain = (node) => (isTree(node) ? mapValues(node, plain) : node[0]);
    return plain(this.tree);
  }
}

const isTree = (node) => typeof node === "object" && node !== null && !Array.isArray(node);

const mapValues = (node, by) => Object.fromEntries(Object.entries(node).map(([key, value]) => [key, by(value)]));

/** A leaf that is as new or newer wins; of a leaf and an object, the one that comes. */
function mergeTrees(own, theirs) {
  for (const [key, value] of Object.entries(theirs)) {
    const here = own[key];
    if (isTree(value) && isTree(here)) mergeTrees(here, value);
    else if (isTree(value) || here === undefined || isTree(here) || value[1] >= here[1]) own[key] = value;
  }
}
