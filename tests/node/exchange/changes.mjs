// Edits of a JSON object, in the form in which the reference's json documents send them.
//
// In: an edit `[name, path, ...]`, or a change. Out: the change `{path, change}`; or a new state of the object.

/** What a field holds before it was written. */
export function zero(decl) {
  switch (decl.k) {
    case "struct":
      return Object.fromEntries(decl.fields.map(([name, field]) => [name, zero(field)]));
    case "list":
    case "movable":
      return [];
    case "record":
      return {};
    case "number":
    case "counter":
      return 0;
    case "boolean":
      return false;
    default:
      return "";
  }
}

const segment = (step) =>
  typeof step === "number" ? { type: "index", index: step } : { type: "field", field: step };

const step = (segment) => segment.index ?? segment.field ?? segment.entry;

/** Follows a path, and makes what is missing. */
function reach(root, path) {
  return path.reduce((at, segment) => (at[step(segment)] ??= {}), root);
}

export function changeOf(root, [name, path, ...args]) {
  const to = path.map(segment);
  const target = () => path.reduce((at, step) => at?.[step], root);
  const change = () => {
    switch (name) {
      case "set":
        return { type: "replace", value: args[0] };
      case "push":
        return { type: "sequence", instructions: [{ retain: target()?.length ?? 0 }, { insert: [args[0]] }] };
      case "put":
        return { type: "map", set: { [args[0]]: args[1] } };
      case "remove":
        return { type: "map", delete: [args[0]] };
      case "increment":
        return { type: "increment", amount: args[0] };
      case "insert":
        return { type: "text", instructions: [{ retain: args[0] }, { insert: args[1] }] };
      case "delete": {
        const type = typeof target() === "string" ? "text" : "sequence";
        const before = args[0] > 0 ? [{ retain: args[0] }] : [];
        return { type, instructions: [...before, { delete: args[1] }] };
      }
      default:
        throw new Error(`no such edit: ${name}`);
    }
  };
  return { path: to, change: change() };
}

/** Retain and delete past the end are harmless. */
function splice(target, instructions) {
  let at = 0;
  for (const { retain = 0, insert, delete: count = 0 } of instructions) {
    at = Math.min(at + retain, target.length);
    const rest = target.slice(at + count);
    const middle = insert ?? target.slice(0, 0);
    target = target.slice(0, at).concat(middle, rest);
    at += middle.length;
  }
  return target;
}

/** Applies it to the object itself. */
export function apply(root, { path, change }) {
  const parent = reach(root, path.slice(0, -1));
  const key = step(path.at(-1));
  switch (change.type) {
    case "replace":
      parent[key] = structuredClone(change.value);
      return;
    case "map":
      parent[key] ??= {};
      for (const gone of change.delete ?? []) delete parent[key][gone];
      Object.assign(parent[key], structuredClone(change.set ?? {}));
      return;
    case "text":
      parent[key] = splice(parent[key] ?? "", change.instructions);
      return;
    case "sequence":
      parent[key] = splice(parent[key] ?? [], structuredClone(change.instructions));
      return;
    case "increment":
      parent[key] = (parent[key] ?? 0) + change.amount;
      return;
    default:
      throw new Error(`no such change: ${change.type}`);
  }
}

/** How many containers a batch touches: the reference makes a push for each. */
export function pushesOf(changes) {
  const where = ({ path, change }) => JSON.stringify(change.type === "replace" ? path.slice(0, -1) : path);
  return new Set(changes.map(where)).size;
}
