// The kinds of documents, and a type of each with the schema hashes that the reference gives it.

import { Plain } from "./plain.mjs";
import { Ephemeral, State } from "./snapshots.mjs";
import { Loro, Yjs } from "./vectors.mjs";

/** `mode`: 0 collaborative, 1 authoritative, 2 ephemeral. */
export const BINDINGS = {
  loro: { replica: ["loro", 1, 0], mode: 0, Content: Loro },
  yjs: { replica: ["yjs", 1, 0], mode: 0, Content: Yjs },
  json: { replica: ["plain", 1, 0], mode: 1, Content: Plain },
  ephemeral: { replica: ["plain", 1, 0], mode: 2, Content: Ephemeral },
  state: { replica: ["state", 1, 0], mode: 2, Content: State },
};

/** The binding of an announced document. */
export const bindingOf = ({ replica: [name, major], mode }) =>
  Object.keys(BINDINGS).find((bind) => {
    const known = BINDINGS[bind];
    return known.replica[0] === name && known.replica[1] === major && known.mode === mode;
  });

const struct = (fields) => ({ k: "struct", fields: Object.entries(fields) });
const [text, string, number, boolean] = ["text", "string", "number", "boolean"].map((k) => ({ k }));
const counter = { k: "counter" };
const list = (item) => ({ k: "list", item });
const record = (item) => ({ k: "record", item });

const type = (name, bind, decl, hashes) => ({ name, bind, decl, hashes });

/** By name. `hashes`: of release 1 (wire version 2), of release 2 (wire version 3). */
export const TYPES = Object.fromEntries(
  [
    type("notes", "loro", struct({ text }), [
      "013fbde8421f24f0836b3396166bd76adc",
      "02cd0629243854b7d6f39abbc4ace6f345",
    ]),
    type(
      "board",
      "loro",
      struct({
        text,
        hits: counter,
        items: list(string),
        mode: string,
        meta: struct({ owner: string, n: number }),
        tags: record(boolean),
      }),
      ["01538ebe79353daea2894985eac0185080", "02037b83c8dad1a77a3db086e1ae0cfcda"],
    ),
    type(
      "pad",
      "yjs",
      struct({ text, items: list(string), meta: struct({ owner: string, n: number }), tags: record(boolean) }),
      ["01b5e44664d490edb0ccd0a3ec6be2de35", "0232055199f5afec2bb87407a3586e8ceb"],
    ),
    type(
      "config",
      "json",
      struct({ mode: string, limit: number, hosts: list(string), flags: record(boolean) }),
      ["01056831dee25a0055d2109d87c31ae9c3", "02af3209c98084bfd443d18dc277d20d50"],
    ),
    type("presence", "ephemeral", struct({ name: string, x: number, seen: record(number) }), [
      "011d1603517024b31afa8eb9fdea9724ac",
      "024f8a286a0595b5e3932077f08956bfde",
    ]),
    type("beacon", "state", struct({ name: string, x: number, y: number }), [
      undefined,
      "02554d1f3596d0ecc171475b7d396a6e37",
    ]),
  ].map((type) => [type.name, type]),
);
