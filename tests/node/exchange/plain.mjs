// A json document: a log of batches. What it is offered since a version it replays on whatever it holds, as
// the reference does, so a lost or a doubled offer shows for good.
//
// In: edits, and payloads with their version. Out: payloads, and its version: `<lineage>:<batches>`, or
// `<batches>` before release 2.

import { apply, changeOf, pushesOf, zero } from "./changes.mjs";

const GENESIS = "kyneta.genesis";

export class Plain {
  /** `decl`: its fields; none for a document that is only passed on. */
  constructor({ decl, release, lineage }) {
    this.decl = decl ?? { k: "struct", fields: [] };
    this.isOpened = decl !== undefined;
    this.release = release;
    this.drawLineage = lineage;
    this.lineage = GENESIS;
    this.state = zero(this.decl);
    this.log = [];
    /** The version at which the log starts. */
    this.start = 0;
    if (release === 1 && this.decl.fields.length > 0) {
      const replace = ([field]) => ({ path: [{ type: "field", field }], change: { type: "replace", value: this.state[field] } });
      this.log.push(structuredClone(this.decl.fields.map(replace)));
    }
  }

  get count() {
    return this.start + this.log.length;
  }

  version() {
    return this.release === 1 ? String(this.count) : `${this.lineage}:${this.count}`;
  }

  parse(text) {
    const parts = text.split(":");
    if (parts.length !== this.release) return undefined;
    const count = Number(parts.at(-1));
    if (parts.at(-1) === "" || !Number.isInteger(count) || count < 0) return undefined;
    return { lineage: this.release === 1 ? GENESIS : parts[0], count };
  }

  /** How this one's version stands to another: undefined where that is none. */
  compare(text) {
    const other = this.parse(text);
    if (!other) return undefined;
    const genesis = other.lineage === GENESIS && this.release === 2;
    const [own, theirs] = [this.lineage === GENESIS && this.release === 2 ? 0 : this.count, genesis ? 0 : other.count];
    if (this.lineage !== other.lineage && own > 0 && theirs > 0) return "concurrent";
    return own === theirs ? "equal" : own > theirs ? "ahead" : "behind";
  }

  /** Two histories meet. */
  boundary(offer) {
    const theirs = offer.lineage ?? this.parse(offer.version).lineage;
    return this.release === 2 && this.lineage !== GENESIS && theirs !== GENESIS && theirs !== this.lineage;
  }

  edit(ops) {
    if (this.release === 2 && this.lineage === GENESIS) this.lineage = this.drawLineage();
    const batch = [];
    for (const op of ops) {
      const change = changeOf(this.state, op);
      apply(this.state, change);
      batch.push(structuredClone(change));
    }
    this.log.push(batch);
    return pushesOf(batch);
  }

  since(text) {
    const lineage = this.release === 1 ? undefined : this.lineage;
    const entirety = { kind: "entirety", encoding: "json", data: JSON.stringify(this.state), lineage };
    if (!text) return entirety;
    const theirs = this.parse(text);
    const order = this.compare(text);
    if (order === undefined || order === "equal" || order === "behind") return undefined;
    const from = this.release === 2 && theirs.lineage === GENESIS ? 0 : theirs.count;
    if (order === "concurrent" || from < this.start) return entirety;
    const data = JSON.stringify(this.log.slice(from - this.start));
    return { kind: "since", encoding: "json", data, lineage };
  }

  merge(offer) {
    const data = JSON.parse(offer.data);
    if (this.release === 2 && this.lineage === GENESIS) {
      this.lineage = offer.lineage ?? this.parse(offer.version).lineage;
    }
    if (offer.kind === "entirety") {
      const batch = Object.entries(data).map(([field, value]) => {
        return { path: [{ type: "field", field }], change: { type: "replace", value } };
      });
      this.replay(batch);
    } else {
      for (const batch of data) this.replay(batch);
    }
  }

  replay(batch) {
    for (const change of batch) apply(this.state, change);
    this.log.push(structuredClone(batch));
  }

  /** Takes the place of what was here. */
  reset(offer) {
    if (this.release === 1) return this.merge(offer);
    const { lineage, count } = this.parse(offer.version);
    const data = JSON.parse(offer.data);
    Object.assign(this, { lineage, start: count, log: [], state: this.isOpened ? { ...this.state, ...data } : data });
  }

  /** The fields of its type; what else came is not shown. */
  value() {
    if (!this.isOpened) return this.state;
    return Object.fromEntries(this.decl.fields.map(([field]) => [field, this.state[field]]));
  }
}
