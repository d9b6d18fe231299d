// examples/service and examples/relay in processes of their own, with a clock that is moved and a witness of the ledgers.
//
// UNJOIN_EXAMPLES: where the examples were built.

import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Witness } from "./witness.mjs";

export function fail(text) {
  throw new Error(text);
}

const EXAMPLES = process.env.UNJOIN_EXAMPLES ?? fail("set UNJOIN_EXAMPLES to the directory of the examples");

/// A program, once it has said this address: "NAME on ADDRESS".
async function program(name, last, ...more) {
  const child = spawn(join(EXAMPLES, name), more, { stdio: ["ignore", "pipe", "ignore"] });
  const addresses = {};
  for await (const line of createInterface({ input: child.stdout })) {
    const [, what, address] = /^(\S+) on (?:http:\/\/)?(\S+)$/.exec(line) ?? [];
    if (what) addresses[what] = address;
    if (last in addresses) break;
  }
  if (!(last in addresses)) fail(`${name} ended`);
  child.stdout.resume();
  const end = () => new Promise(ended => { child.once("exit", ended); child.kill("SIGTERM"); });
  return { addresses, end };
}

export async function start() {
  const directory = await mkdtemp(join(tmpdir(), "unjoin-round-")), secrets = join(directory, "secrets");
  // So far the shop's clock is ahead.
  let ahead = 0;
  const witness = await Witness.serve(() => Date.now() / 1000 + ahead);
  const service = await program("service", "internal", "--listen", "[::1]:0", "--internal", "[::1]:0", "--drain", "0",
    "--demo-trustees", "--demo-clock", "--k", "2", "--hold-hours", "0", "--directory", secrets,
    "--store", `redb:${join(directory, "stores")}`, "--witness", witness.at);
  const gateway = `/shop=http://${service.addresses.devices}/gateway`;
  const relay = await program("relay", "relay", "--listen", "[::1]:0", "--gateway", gateway, "--per-minute", "60000");
  const addresses = { ...service.addresses, ...relay.addresses };

  const post = (where, path, body, headers = {}) => new Promise((resolve, reject) => {
    if (path === "/clock/advance") ahead += JSON.parse(body).seconds;
    const { hostname, port } = new URL(`http://${addresses[where]}`), method = body === undefined ? "GET" : "POST";
    const to = { host: hostname.replace(/^\[|\]$/g, ""), port, path, method, headers };
    const sent = request(to, answer => {
      const parts = [];
      answer.on("data", part => parts.push(part));
      answer.on("end", () => resolve({ status: answer.statusCode, body: new Uint8Array(Buffer.concat(parts)) }));
    });
    sent.on("error", reject);
    sent.end(body);
  });
  const file = async name => JSON.parse(await readFile(join(secrets, name)));
  const end = async () => {
    await relay.end();
    await service.end();
    await witness.end();
    await rm(directory, { recursive: true });
  };
  return { addresses, post, file, witness: witness.key, end };
}
