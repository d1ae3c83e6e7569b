// The part of CBOR that the protocol uses: integers from 0, texts, bytes, arrays, maps, true, false.
//
// In: a value, or bytes. Out: bytes, or the value; an error where the bytes are no such value.

function head(major, n) {
  if (n < 24) return Buffer.from([(major << 5) | n]);
  const [info, size] = n < 0x100 ? [24, 1] : n < 0x10000 ? [25, 2] : [26, 4];
  const bytes = Buffer.alloc(1 + size);
  bytes[0] = (major << 5) | info;
  bytes.writeUIntBE(n, 1, size);
  return bytes;
}

/** Objects become maps whose undefined fields are left out. */
export function encode(value) {
  if (value === false) return Buffer.from([0xf4]);
  if (value === true) return Buffer.from([0xf5]);
  if (typeof value === "number") return head(0, value);
  if (typeof value === "string") {
    const text = Buffer.from(value, "utf8");
    return Buffer.concat([head(3, text.length), text]);
  }
  if (Buffer.isBuffer(value)) return Buffer.concat([head(2, value.length), value]);
  if (Array.isArray(value)) return Buffer.concat([head(4, value.length), ...value.map(encode)]);
  const fields = Object.entries(value).filter(([, field]) => field !== undefined);
  return Buffer.concat([head(5, fields.length), ...fields.flat().map(encode)]);
}

export function decode(bytes) {
  let at = 0;
  const take = (size) => {
    if (at + size > bytes.length) throw new Error(`the payload ends at ${bytes.length}`);
    at += size;
    return bytes.subarray(at - size, at);
  };
  const item = () => {
    const first = take(1)[0];
    const [major, info] = [first >> 5, first & 31];
    if (major === 7) {
      if (info === 20 || info === 21) return info === 21;
      throw new Error(`simple value ${info}`);
    }
    if (info > 26) throw new Error(`length form ${info}`);
    const size = info < 24 ? 0 : 1 << (info - 24);
    const n = size === 0 ? info : take(size).readUIntBE(0, size);
    if (major === 0) return n;
    if (major === 2) return take(n);
    if (major === 3) return take(n).toString("utf8");
    if (major === 4) return Array.from({ length: n }, item);
    if (major === 5) return Object.fromEntries(Array.from({ length: n }, () => [item(), item()]));
    throw new Error(`major type ${major}`);
  };
  const value = item();
  if (at !== bytes.length) throw new Error(`${bytes.length - at} bytes too many`);
  return value;
}
