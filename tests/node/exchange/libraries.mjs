// Loro and Yjs documents in the libraries themselves, laid out as the reference lays them out: what `vectors.mjs` has in
// a form of its own, in the bytes that others read.
//
// In: a directory with the packages in `node_modules`; edits, payloads. Out: payloads, versions, values.

import { createRequire } from "node:module";
import { zero } from "./changes.mjs";
import { fnv128, fnv32, fnv64 } from "./hashes.mjs";

const base64 = (bytes) => Buffer.from(bytes).toString("base64");

const bytesOf = (text) => Buffer.from(text, "base64");

/** Of a field that is reached through structs alone. */
const identity = (path) => fnv128(Buffer.from(`${path.join(".")}:1`));

/** As a person in the USA sorts them. */
const sorted = (fields) => [...fields].sort(([a], [b]) => a.localeCompare(b, "en-US"));

function fieldAt(decl, path) {
  return path.reduce((at, name) => at.fields.find(([field]) => field === name)[1], decl);
}

/** A field of each name, as `read(path, decl)` gives those that are no structs. */
function valueOf(decl, read, path = []) {
  const of = ([name, field]) => {
    const at = [...path, name];
    return [name, field.k === "struct" ? valueOf(field, read, at) : (read(at, field) ?? zero(field))];
  };
  return Object.fromEntries(decl.fields.map(of));
}

class Library {
  constructor({ decl, release }) {
    this.decl = decl ?? { k: "struct", fields: [] };
    this.release = release;
  }

  boundary() {
    return false;
  }

  reset(offer) {
    this.merge(offer);
  }

  payload(kind, data) {
    const lineage = kind === "since" || this.release === 1 ? undefined : "kyneta.genesis";
    return { kind, encoding: "binary", data: Buffer.from(data), lineage };
  }
}

function loro({ LoroDoc, VersionVector }) {
  return class extends Library {
    constructor(options) {
      super(options);
      this.doc = new LoroDoc();
      this.doc.setPeerId(BigInt.asUintN(53, fnv64(options.writer)));
    }

    version() {
      return base64(this.doc.version().encode());
    }

    compare(text) {
      const order = this.doc.version().compare(VersionVector.decode(bytesOf(text)));
      return order === undefined ? "concurrent" : order === 0 ? "equal" : order > 0 ? "ahead" : "behind";
    }

    since(text) {
      if (!text) return this.payload("entirety", this.doc.export({ mode: "snapshot" }));
      const from = VersionVector.decode(bytesOf(text));
      return this.payload("since", this.doc.export({ mode: "update", from }));
    }

    merge(offer) {
      this.doc.import(offer.data);
    }

    /** The container of a field of the root. */
    container(name, { k }) {
      const id = identity([name]);
      if (k === "text") return this.doc.getText(id);
      if (k === "counter") return this.doc.getCounter(id);
      return k === "list" ? this.doc.getList(id) : this.doc.getMap(id);
    }

    /** The map that holds a plain value: that of its struct, or of all those of the root. */
    holder([root, ...rest]) {
      return this.doc.getMap(rest.length === 0 ? "_props" : identity([root]));
    }

    edit(ops) {
      for (const [name, path, ...args] of ops) {
        const field = fieldAt(this.decl, path);
        if (name === "set") this.holder(path).set(identity(path), ...args);
        else if (name === "put") this.container(path[0], field).set(...args);
        else if (name === "remove") this.container(path[0], field).delete(...args);
        else this.container(path[0], field)[name](...args);
      }
      this.doc.commit();
      return 1;
    }

    value() {
      return valueOf(this.decl, (path, field) => {
        if (["string", "number", "boolean"].includes(field.k)) return this.holder(path).get(identity(path));
        const container = this.container(path[0], field);
        if (field.k === "text") return container.toString();
        return field.k === "counter" ? container.value : container.toJSON();
      });
    }
  };
}

function yjs(Y) {
  const kinds = { text: Y.Text, list: Y.Array, record: Y.Map, struct: Y.Map };
  return class extends Library {
    constructor(options) {
      super(options);
      this.doc = new Y.Doc();
      // The containers of the schema are client 0's, so that those of all peers are the same ones.
      this.doc.clientID = 0;
      this.doc.transact(() => this.create(this.root(), this.decl, []));
      this.doc.clientID = Number(fnv32(options.writer) || 1n);
    }

    root() {
      return this.doc.getMap("root");
    }

    create(map, decl, path) {
      for (const [name, field] of sorted(decl.fields)) {
        const Kind = kinds[field.k];
        if (!Kind) continue;
        const at = [...path, name];
        const container = map.set(identity(at), new Kind());
        if (field.k === "struct") this.create(container, field, at);
      }
    }

    version() {
      const snapshot = Y.encodeSnapshot(Y.snapshot(this.doc));
      return `${base64(Y.encodeStateVector(this.doc))}.${this.release === 1 ? base64(snapshot) : fnv128(snapshot)}`;
    }

    compare(text) {
      const vectors = [Y.encodeStateVector(this.doc), bytesOf(text.split(".")[0])].map((bytes) => Y.decodeStateVector(bytes));
      const more = (a, b) => [...a].some(([client, clock]) => clock > (b.get(client) ?? 0));
      const [ahead, behind] = [more(...vectors), more(...vectors.reverse())];
      if (ahead || behind) return ahead && behind ? "concurrent" : ahead ? "ahead" : "behind";
      return text === this.version() ? "equal" : "concurrent";
    }

    since(text) {
      if (!text) return this.payload("entirety", Y.encodeStateAsUpdate(this.doc));
      return this.payload("since", Y.encodeStateAsUpdate(this.doc, bytesOf(text.split(".")[0])));
    }

    merge(offer) {
      Y.applyUpdate(this.doc, offer.data);
    }

    /** The map that a field stands in. */
    holder(path) {
      return path.slice(0, -1).reduce((map, _, i) => map.get(identity(path.slice(0, i + 1))), this.root());
    }

    edit(ops) {
      this.doc.transact(() => {
        for (const [name, path, ...args] of ops) {
          const container = this.holder(path).get(identity(path));
          if (name === "set") this.holder(path).set(identity(path), ...args);
          else if (name === "put") container.set(...args);
          else if (name === "push") container.push(args);
          else if (name === "remove") container.delete(...args);
          else container[name](...args);
        }
      });
      return 1;
    }

    value() {
      return valueOf(this.decl, (path) => {
        const value = this.holder(path).get(identity(path));
        return value instanceof Y.AbstractType ? value.toJSON() : value;
      });
    }
  };
}

/** The contents of both kinds, with the packages that are installed in a directory. */
export function load(directory) {
  const required = createRequire(`${directory}/`);
  return { loro: loro(required("loro-crdt")), yjs: yjs(required("yjs")) };
}
