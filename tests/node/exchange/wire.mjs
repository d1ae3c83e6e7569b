// Messages as an Exchange knows them, and as they go over a connection, with short keys and aliases.
//
// In: a message of one side. Out: that of the other.

import { NAMES, T } from "../channel.mjs";

const KINDS = ["entirety", "since"];
const ENCODINGS = ["json", "binary"];

export function toWire(channel, message) {
  const { type, id, docs, doc, version: v, reciprocate: r } = message;
  const t = T[type];
  switch (type) {
    case "establish":
      return { t, id, y: "service", f: { a: true } };
    case "present":
      return { t, docs: docs.map((entry) => channel.entry(entry)) };
    case "interest":
      return { t, ...channel.name(doc), v, r };
    case "offer": {
      const [pk, pe] = [KINDS.indexOf(message.kind), ENCODINGS.indexOf(message.encoding)];
      return { t, pk, pe, d: message.data, v, ...channel.name(doc), r, ln: message.lineage };
    }
    case "depart":
      return { t };
    default:
      return { t, ...channel.name(doc) };
  }
}

export function fromWire({ t, id, docs, doc, v: version, r: reciprocate, pk, pe, d: data, ln: lineage }) {
  const type = NAMES[t];
  switch (type) {
    case "establish":
      return { type, id };
    case "present": {
      const entry = ({ d, rt, ms, sh, shs }) => ({ doc: d, replica: rt, mode: ms, hash: sh, hashes: shs });
      return { type, docs: docs.map(entry) };
    }
    case "offer":
      return { type, doc, kind: KINDS[pk], encoding: ENCODINGS[pe], data, version, reciprocate, lineage };
    default:
      return { type, doc, version, reciprocate };
  }
}
