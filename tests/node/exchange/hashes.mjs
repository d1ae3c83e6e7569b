// FNV-1a, from which the reference makes ids of writers and digests.

function fnv(units, offset, prime, bits) {
  let hash = offset;
  for (const unit of units) hash = BigInt.asUintN(bits, (hash ^ BigInt(unit)) * prime);
  return hash;
}

const units = (text) => Array.from({ length: text.length }, (_, i) => text.charCodeAt(i));

export const fnv32 = (text) => fnv(units(text), 0x811c9dc5n, 0x1000193n, 32);

export const fnv64 = (text) => fnv(units(text), 0xcbf29ce484222325n, 0x100000001b3n, 64);

/** 32 hexadecimal digits. */
export const fnv128 = (bytes) =>
  fnv(bytes, 0x6c62272e07bb014262b821756295c58dn, 0x1000000000000000000013bn, 128).toString(16).padStart(32, "0");
