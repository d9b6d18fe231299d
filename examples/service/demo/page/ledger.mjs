// The reviews ledger, read and checked in the page with nothing but SHA-256 and Ed25519 of the browser's: the checkpoint's
// signatures (C2SP signed-note, tlog-cosignature), the tree over all entries (RFC 6962), and what it says of the listing.

const text = new TextEncoder();
const concat = (...parts) => {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) { whole.set(part, at); at += part.length; }
  return whole;
};
const sha256 = async bytes => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
const base64 = digits => Uint8Array.from(atob(digits), unit => unit.charCodeAt(0));
export const hex = bytes => Array.from(bytes, byte => byte.toString(16).padStart(2, "0")).join("");
const same = (one, other) => one.length === other.length && one.every((byte, at) => byte === other[at]);
const number = (bytes, at) => Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(at, true));

async function holds(key, signature, message) {
  const imported = await crypto.subtle.importKey("raw", key, "Ed25519", false, ["verify"]);
  return crypto.subtle.verify("Ed25519", imported, signature, message);
}

/** A verification key, `name+hash+key`: of type 1 a ledger's, of type 4 a witness's. */
function verifier(line) {
  const [name, id, ...rest] = line.split("+"), typed = base64(rest.join("+"));
  return { name, id, type: typed[0], key: typed.subarray(1) };
}

/** The checkpoint's size, root and the witness's time, once both signatures hold. */
export async function readCheckpoint(note, log, witness) {
  const end = note.indexOf("\n\n"), body = note.slice(0, end + 1);
  const [origin, size, root] = body.split("\n");
  const lines = note.slice(end + 2).split("\n").filter(line => line.startsWith("— ")).map(line => line.split(" "));
  const signature = ({ name, id }) => {
    const found = lines.map(([, of, sealed]) => [of, base64(sealed)]);
    return found.find(([of, bytes]) => of === name && hex(bytes.subarray(0, 4)) === id)?.[1].subarray(4);
  };
  const [ledger, other] = [verifier(log), verifier(witness)], signed = signature(ledger), cosigned = signature(other);
  if (origin !== ledger.name || ledger.type !== 1 || other.type !== 4) throw new Error("another ledger's checkpoint");
  if (!signed || !await holds(ledger.key, signed, text.encode(body))) throw new Error("the ledger did not sign this");
  if (!cosigned) throw new Error("the witness did not sign this");
  const time = Number(new DataView(cosigned.buffer, cosigned.byteOffset).getBigUint64(0));
  const message = text.encode(`cosignature/v1\ntime ${time}\n${body}`);
  if (!await holds(other.key, cosigned.subarray(8), message)) throw new Error("the witness did not sign this");
  return { size: Number(size), root: base64(root), time };
}

/** The path of a bundle of entries, `width` of 256. */
export function bundlePath(index, width) {
  const groups = [String(index % 1000).padStart(3, "0")];
  for (let rest = Math.floor(index / 1000); rest > 0; rest = Math.floor(rest / 1000)) {
    groups.unshift(`x${String(rest % 1000).padStart(3, "0")}`);
  }
  return `tile/entries/${groups.join("/")}${width < 256 ? `.p/${width}` : ""}`;
}

function entriesOf(bundle) {
  const entries = [];
  for (let at = 0; at < bundle.length;) {
    const length = bundle[at] << 8 | bundle[at + 1];
    if (at + 2 + length > bundle.length) throw new Error("a bundle ends early");
    entries.push(bundle.subarray(at + 2, at + 2 + length));
    at += 2 + length;
  }
  return entries;
}

/** RFC 6962, section 2.1. */
export async function rootOf(entries) {
  const over = async hashes => {
    if (hashes.length === 1) return hashes[0];
    let half = 1;
    while (half * 2 < hashes.length) half *= 2;
    return sha256(concat([1], await over(hashes.slice(0, half)), await over(hashes.slice(half))));
  };
  if (entries.length === 0) return sha256(new Uint8Array());
  return over(await Promise.all(entries.map(entry => sha256(concat([0], entry)))));
}

/** SHA-256 of a review's message, as the wire manual has it. */
export function digestOf({ stars, text: words }) {
  const bytes = text.encode(words);
  return sha256(concat([1, 12, stars, bytes.length & 255, bytes.length >> 8], bytes, [0]));
}

const frame = bytes => {
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(bytes.length), true);
  return concat(length, bytes);
};

/** What the entries say of a merchant's reviews: by id the digest in force (none after a withdrawal or a removal), how it came
    to that, and whether each action bears the author's signature. */
export async function standings(entries, merchant) {
  const found = new Map(), late = [];
  for (const entry of entries) {
    if (entry[0] !== 1) continue;
    if (entry[1] === 16) {
      const length = entry[34] | entry[35] << 8, name = new TextDecoder().decode(entry.subarray(36, 36 + length));
      const at = 36 + length + 8, id = hex(entry.subarray(at + 8, at + 40));
      const review = { boundary: number(entry, at), digest: hex(entry.subarray(at + 40, at + 72)), fate: "published" };
      if (name === merchant) found.set(id, { ...review, author: entry.subarray(at + 104, at + 136) });
    } else if (entry[1] === 17 || entry[1] === 19) late.push(entry);
  }
  for (const entry of late) {
    const isAction = entry[1] === 17, id = hex(isAction ? entry.subarray(5, 37) : entry.subarray(2, 34));
    const review = found.get(id);
    if (!review) continue;
    if (!isAction) Object.assign(review, { digest: null, fate: "removed" });
    else {
      const action = entry.subarray(2, 173), before = action.subarray(0, 107), signature = action.subarray(107);
      const message = concat(frame(text.encode("unjoin/v1")), frame(text.encode("author")), frame(before));
      if (!await holds(review.author, signature, message)) throw new Error("somebody else changed a review");
      const sequence = number(action, 35);
      if (sequence > (review.sequence ?? 0)) {
        const isEdit = action[2] === 2;
        Object.assign(review, { sequence, digest: isEdit ? hex(action.subarray(75, 107)) : null, fate: isEdit ? "edited" : "withdrawn" });
      }
    }
  }
  return found;
}

/** Reads and checks all of it. `get` fetches a path of the ledger's as bytes. */
export async function check({ log, witness, merchant, listed, get }) {
  const note = new TextDecoder().decode(await get("checkpoint")), checkpoint = await readCheckpoint(note, log, witness);
  const entries = [];
  for (let at = 0; at < checkpoint.size; at += 256) {
    entries.push(...entriesOf(await get(bundlePath(at / 256, Math.min(256, checkpoint.size - at)))));
  }
  if (entries.length !== checkpoint.size || !same(await rootOf(entries), checkpoint.root)) throw new Error("the entries are not those that were signed");
  const standing = await standings(entries, merchant), results = new Map();
  for (const review of listed) {
    const digest = hex(await digestOf(review)), logged = standing.get(review.review_id);
    results.set(review.review_id, digest === review.digest && logged?.digest === digest && logged.boundary === review.published_at);
  }
  const missing = [...standing].filter(([id, { digest }]) => digest && !results.has(id)).length;
  return { ...checkpoint, entries: entries.length, results, missing };
}
