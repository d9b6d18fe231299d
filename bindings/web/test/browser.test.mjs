// The same round in Chromium, under a strict policy: the package in a page, the relay at another origin.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { start } from "../../round/platform.mjs";
import { BUILT } from "./package.mjs";

const CHROMIUM = process.env.UNJOIN_CHROMIUM ?? "chromium";
const PAGE = `<!doctype html><html lang="en"><title>round</title><script type="module" src="/page.mjs"></script>`;
const SCRIPT = `
import * as web from "/package/unjoin_web.js";
import { Round } from "/round/round.mjs";
import { Shop } from "/round/shop.mjs";
const json = async path => (await fetch(path)).json();
const { relay, witness } = await json("/about");
async function post(where, path, body, headers) {
  const hides = { credentials: "omit", referrerPolicy: "no-referrer", cache: "no-store" };
  const method = body === undefined ? "GET" : "POST";
  const answer = await fetch(where === "relay" ? relay + path : "/" + where + path, { ...hides, method, body, headers });
  return { status: answer.status, body: new Uint8Array(await answer.arrayBuffer()) };
}
let result;
try {
  const from = performance.now();
  await web.default();
  const load = Math.round(performance.now() - from);
  const shop = await Shop.open(web, { post, witness, file: name => json("/file/" + name) });
  const round = new Round(web, shop);
  await round.play();
  await round.restore();
  result = { load, ...round.figures() };
} catch (error) {
  result = { error: String(error?.stack ?? error) };
}
await fetch("/result", { method: "POST", body: JSON.stringify(result) });
`;

const TYPES = { js: "text/javascript", mjs: "text/javascript", wasm: "application/wasm" };

/// The relay is on another domain, which Chromium is told to find here: a policy cannot name an IPv6 address.
const relay = platform => `http://relay.example:${platform.addresses.relay.split(":").pop()}`;

/// Serves page and package, and passes on what goes to the service: one origin, as a platform has it.
function serve(platform, done) {
  const answer = async (request, body) => {
    const [, first, ...rest] = request.url.split("/"), path = rest.join("/");
    switch (first) {
      case "": return { type: "text/html", body: PAGE };
      case "page.mjs": return { type: TYPES.mjs, body: SCRIPT };
      case "about": {
        return { body: JSON.stringify({ relay: relay(platform), witness: platform.witness }) };
      }
      case "file": return { body: JSON.stringify(await platform.file(path)) };
      case "package": return { type: TYPES[path.split(".").pop()], body: await readFile(join(BUILT, path)) };
      case "round": return { type: TYPES.mjs, body: await readFile(new URL(`../../round/${path}`, import.meta.url)) };
      case "devices": case "internal": {
        const account = request.headers["unjoin-account"], headers = account ? { "unjoin-account": account } : {};
        return platform.post(first, `/${path}`, request.method === "GET" ? undefined : body, headers);
      }
      case "result": done(JSON.parse(body)); return { body: "" };
    }
    return { status: 404, body: "" };
  };
  const policy = `default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self' ${relay(platform)}`;
  const server = createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    const { status = 200, type = "application/json", body } = await answer(request, Buffer.concat(parts));
    response.writeHead(status, { "content-type": type, "content-security-policy": policy }).end(body);
  });
  return new Promise(listening => server.listen(0, "::1", () => listening(server)));
}

test("a round in Chromium, through a relay of another origin", { timeout: 300_000 }, async t => {
  const platform = await start(), profile = await mkdtemp(join(tmpdir(), "unjoin-chromium-"));
  let done;
  const result = new Promise(resolve => { done = resolve; });
  const server = await serve(platform, done);
  const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--host-resolver-rules=MAP relay.example [::1]", "--disable-component-update", `--user-data-dir=${profile}`];
  const browser = spawn(CHROMIUM, [...flags, `http://[::1]:${server.address().port}/`], { stdio: "ignore" });
  const ended = new Promise(resolve => browser.once("exit", resolve));
  try {
    const figures = await Promise.race([result, ended.then(() => ({ error: "the browser ended" }))]);
    assert.equal(figures.error, undefined);
    t.diagnostic(`milliseconds: ${JSON.stringify(figures)}`);
  } finally {
    browser.kill();
    await ended;
    server.closeAllConnections();
    server.close();
    await platform.end();
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  }
});
