// examples/service and examples/relay in processes of their own.
//
// UNJOIN_WEB: where the package was built. UNJOIN_EXAMPLES: where the examples were.

import { spawn } from "node:child_process";
import { createHash, generateKeyPairSync } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

function fail(text) {
  throw new Error(text);
}

export const BUILT = process.env.UNJOIN_WEB ?? fail("set UNJOIN_WEB to the directory of the package");
const EXAMPLES = process.env.UNJOIN_EXAMPLES ?? fail("set UNJOIN_EXAMPLES to the directory of the examples");

export async function load() {
  const module = await import(join(BUILT, "unjoin_web.js"));
  await module.default({ module_or_path: await readFile(join(BUILT, "unjoin_web_bg.wasm")) });
  return module;
}

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

/// The verification key of a witness, as C2SP writes it: whose ledger is pinned needs one, and this one is never asked.
function witness() {
  const name = "witness.example", key = generateKeyPairSync("ed25519").publicKey.export({ type: "spki", format: "der" });
  const typed = Buffer.concat([Buffer.from([4]), key.subarray(-32)]);
  const id = createHash("sha256").update(`${name}\n`).update(typed).digest("hex").slice(0, 8);
  return `${name}+${id}+${typed.toString("base64")}`;
}

export async function start() {
  const directory = await mkdtemp(join(tmpdir(), "unjoin-web-")), secrets = join(directory, "secrets");
  const service = await program("service", "internal", "--listen", "[::1]:0", "--internal", "[::1]:0", "--drain", "0",
    "--demo-trustees", "--demo-clock", "--k", "2", "--hold-hours", "0", "--directory", secrets,
    "--store", `redb:${join(directory, "stores")}`);
  const gateway = `/shop=http://${service.addresses.devices}/gateway`;
  const relay = await program("relay", "relay", "--listen", "[::1]:0", "--gateway", gateway);
  const addresses = { ...service.addresses, ...relay.addresses };

  const post = (where, path, body, headers = {}) => new Promise((resolve, reject) => {
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
    await rm(directory, { recursive: true });
  };
  return { addresses, post, file, witness: witness(), end };
}
