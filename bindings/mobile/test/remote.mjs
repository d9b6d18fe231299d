// The package in another language, in a process of its own: a program reads a call a line, and answers each with a line of
// JSON. So the one round drives every language; all that it calls runs there.
//
//   METHOD ARGUMENT ..      bytes and texts in hexadecimal ("-" for none), numbers in decimal, #N for an object, [A,B for a list
//   {"ok": VALUE, "ns": N}  bytes are {"hex": ..}, objects {"object": N, ..}
//   {"error": {"code": .., "retryable": .., "reason": ..}}, or {"trap": ..} for what is no error of the package's

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

const hex = bytes => Buffer.from(bytes).toString("hex") || "-";
const NUMBER = Symbol("number");

function written(argument) {
  if (Array.isArray(argument)) return `[${argument.map(written).join(",")}`;
  if (argument instanceof Uint8Array) return hex(argument);
  if (typeof argument === "string") return hex(Buffer.from(argument));
  if (typeof argument === "number") return String(argument);
  return `#${argument[NUMBER]}`;
}

/// The package behind this program: the words and shapes of the one for browsers, each answer a promise.
export function remote(command, ...more) {
  const child = spawn(command, more, { stdio: ["pipe", "pipe", "inherit"] }), waiting = [];
  let took = 0;
  createInterface({ input: child.stdout }).on("line", line => {
    const { ok, error, trap, ns } = JSON.parse(line), { resolve, reject } = waiting.shift();
    if (error) reject(Object.assign(new Error(error.reason), { name: "UnjoinError", ...error }));
    else if (trap) reject(new Error(trap));
    else {
      took = ns / 1e6;
      resolve(read(ok));
    }
  });
  child.once("exit", code => waiting.splice(0).forEach(({ reject }) => reject(new Error(`${command} ended: ${code}`))));
  const call = (method, ...given) => new Promise((resolve, reject) => {
    waiting.push({ resolve, reject });
    child.stdin.write(`${[method, ...given.map(written)].join(" ")}\n`);
  });

  function read(value) {
    if (Array.isArray(value)) return value.map(read);
    if (value === null) return undefined;
    if (typeof value !== "object") return value;
    if ("hex" in value) return new Uint8Array(Buffer.from(value.hex, "hex"));
    const entries = Object.entries(value).filter(([, inner]) => inner !== null);
    const shown = Object.fromEntries(entries.map(([name, inner]) => [name, read(inner)]));
    if (!("object" in value)) return shown;
    const [kind, number] = value.object;
    return Object.assign(Object.create(KINDS[kind].prototype), shown, { [NUMBER]: number });
  }

  /// A class whose objects are there. `new` gives a promise of one, where it can be called.
  const kind = (name, statics, methods) => {
    const made = class { constructor(...given) { return call(`${name}.new`, ...given); } };
    for (const method of statics) made[method] = (...given) => call(`${name}.${method}`, ...given);
    for (const method of [...methods, "free"]) {
      made.prototype[method] = function (...given) { return call(`${name}.${method}`, this, ...given); };
    }
    return made;
  };
  const KINDS = {
    Trust: kind("Trust", [], ["pinTrustees", "pinIssuerKey", "pinLedger", "requireLedger"]),
    Device: kind("Device", ["create", "restore", "restoreBackup", "restoreCode", "open"], [
      "seal", "backUp", "recoveryCode", "accountUsed", "orderEligible", "forget", "next", "handle", "handleManifests",
      "handlePublished", "handleRefused", "handleLost", "draftReview", "writeReview", "editReview", "withdrawReview", "reviews",
    ]),
    Door: kind("Door", [], ["pin", "admit", "entries", "shardBits", "seal"]),
    SealedQuestion: kind("SealedQuestion", [], ["open"]),
  };
  const functions = ["bundleQuestion", "shardOfMerchant", "piecesOfBundle", "joinBundle"];
  return {
    ...KINDS,
    ...Object.fromEntries(functions.map(name => [name, (...given) => call(name, ...given)])),
    took: () => took,
    end: () => new Promise(ended => { child.once("exit", ended); child.stdin.end(); }),
  };
}
