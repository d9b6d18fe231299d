// The whole story in Chromium: from an order to a published review, a refused call, a gang that guesses and a court that
// opens; and what goes wrong on the way.

import assert from "node:assert/strict";
import { request } from "node:http";
import { after, before, test } from "node:test";
import { check } from "../page/ledger.mjs";
import { demo, launch, Profile } from "./demo.mjs";

const SCREENSHOTS = process.env.UNJOIN_SCREENSHOTS;
const TEXT = "The shade came cracked, and nobody answers.";
let browser;

before(async () => { browser = await launch(); });
after(() => browser?.close());

/** A demonstration for one test, and a profile of a browser. */
async function begin(options) {
  const running = await demo(), profile = await Profile.open(browser, running, options);
  return { running, profile, tab: await profile.tab() };
}

const json = async (running, path) => (await fetch(running.page + path)).json();

test("from order to publication, an opening and a withdrawal, with a reload after every step", async t => {
  const { running, profile, tab } = await begin();
  const { page } = tab;
  t.after(() => running.end());
  const picture = async name => {
    if (!SCREENSHOTS) return;
    await page.setViewportSize({ width: 1120, height: 720 });
    await page.evaluate(() => { document.activeElement.blur(); document.querySelector("#story")?.removeAttribute("open"); });
    await page.mouse.move(0, 0);
    await page.screenshot({ path: `${SCREENSHOTS}/demo-${name}.png` });
  };

  // A phone; its code is there until it was written down.
  await tab.click("#phone-0-begin");
  const code = await tab.text("#phone-0-code");
  assert.match(code, /^\w{4}(-\w{4}){13}$/);
  await tab.reload();
  assert.equal(await tab.text("#phone-0-code"), code);
  await tab.click("#phone-0-written");
  await tab.reload();
  assert.equal(await page.locator("#phone-0-code").count(), 0);
  await tab.setUp(1);
  await tab.click("#phone-0-order");
  await tab.click("#phone-1-order");
  await tab.reload();
  const order = await tab.order(0), id = order.replace("phone-0-", "");

  // The shop rings, while the number lives.
  await tab.see("portal");
  await tab.click(`#ring-${id}`);
  assert.match(await tab.said(), /the customer’s phone rings/);
  await tab.see("phones");
  assert.match(await tab.text(`#${order}`), /The driver has rung once/);
  await tab.until("the number's end", async () => /is dead/.test(await tab.text(`#${order}`)));
  await tab.reload();
  await tab.see("portal");
  await tab.click(`#ring-${id}`);
  assert.match(await tab.said(), /the switchboard refuses/);
  await tab.see("phones");

  // A review, with what a shop would know its author by.
  await tab.until("eligibility", () => page.locator(`#${order}-write`).count());
  await tab.click(`#${order}-write`);
  await page.fill(`#${order}-text`, `I am Ann Chen, call me at 13911110000. Order ${id}.`);
  await page.waitForSelector(`#${order}-advice .warnings`);
  const warnings = await tab.text(`#${order}-advice .warnings`);
  for (const said of ["13911110000", id, "Chen"]) assert.ok(warnings.includes(said), `${said}: ${warnings}`);
  await tab.fill(order, 1, TEXT);
  assert.match(await tab.text(`#${order} blockquote`), /cracked/);
  await tab.reload();
  assert.match(await tab.text(`#${order} blockquote`), /cracked/);
  await tab.until("sending", async () => {
    await tab.reload();
    return /It was sent/.test(await tab.text(`#${order}`));
  });
  assert.match(await tab.stage(0), /will appear on/);
  assert.deepEqual((await json(running, "/reviews/published/lamps.example")).reviews, [], "published before its boundary");
  // Who has not written yet sees the crowd and the date, once their phone has fetched the manifest: within ten hours.
  const other = await tab.order(1);
  await tab.click(`#${other}-write`);
  const advice = async () => {
    await page.waitForFunction(id => document.getElementById(id).textContent !== "", `${other}-advice`);
    return tab.text(`#${other}-advice`);
  };
  for (let hour = 0; hour < 12 && !/at least 3 customers/.test(await advice()); hour += 1) await tab.click("#hour");
  assert.match(await advice(), /at least 3 customers.*Written now, it appears on/);
  await tab.click(`#${other}-cancel`);
  await tab.until("publication", async () => /appeared on/.test(await tab.stage(0)));
  await picture("phones");

  // The public page, and the ledger.
  await tab.see("public");
  assert.match(await tab.text(".reviews"), /cracked/);
  await tab.click("#check");
  assert.match(await tab.text("#verdict"), /hash to the root.*No published review is missing/);
  const listed = await page.locator(".reviews > li").count();
  assert.ok(listed >= 3, "others write, too");
  assert.equal(await page.locator(".reviews .good").count(), listed);

  // The gang.
  await tab.see("gang");
  const row = page.locator("tbody tr", { hasText: TEXT });
  const [, of, percent] = /One of (\d+) who look alike: ([\d.]+) %/.exec(await row.textContent());
  assert.ok(Number(of) >= 3);
  assert.equal(percent, (100 / Number(of)).toFixed(1));
  assert.equal(await row.locator("td:nth-child(2) details li").count(), Number(of), "all of them are known to the portal");
  assert.match(await row.locator("td:nth-child(2) details").textContent(), /Ann Chen/);
  const guesses = await page.locator("tbody td:nth-child(2) > p:first-child").allTextContents();
  assert.equal(new Set(guesses).size, listed, "an order has one review at most");
  assert.match(await row.locator("td:nth-child(3)").textContent(), /^Ann Chen \(.*100 %/);
  assert.match(await tab.text(".facts"), /No value of 16 bytes stands in both/);
  assert.match(await tab.text(".facts"), /No number leads to a phone/);
  await picture("gang");

  // The officer: no opening without the ledger, none before the cooling-off, one in four weeks.
  await tab.see("officer");
  const value = await page.locator("#evidence option", { hasText: TEXT }).getAttribute("value");
  await page.selectOption("#evidence", value);
  await tab.click("#draw-up");
  await tab.click("#ask-0");
  assert.equal(await page.locator(".said code", { hasText: "trustee.not_logged" }).count(), 3);
  await tab.click("#log-0");
  await tab.click("#ask-0");
  assert.match(await tab.text(".said"), /waits until the cooling-off is over/);
  await tab.reload();
  await tab.click("#hour");
  await tab.click("#hour");
  await tab.click("#ask-0");
  assert.match(await tab.text(".said"), /announces in the ledger.*releases its share/);
  assert.match(await tab.text(".opened"), /^Opened: Ann Chen \(account-ann\)/);
  const another = await page.locator("#evidence option", { hasNotText: TEXT }).first().getAttribute("value");
  await page.selectOption("#evidence", another);
  await tab.click("#draw-up");
  await tab.click("#log-1");
  await tab.click("#hour");
  await tab.click("#hour");
  await tab.click("#ask-1");
  assert.equal(await page.locator(".said code", { hasText: "trustee.budget" }).count(), 3, await tab.text(".cases"));
  assert.equal(await page.locator(".opened").count(), 1);

  // The phone finds its review in the ledger by itself; it is lost, and its code brings it back.
  await tab.see("phones");
  await tab.until("the promise", () => page.locator(`#${order} .good`).count());
  assert.equal(await page.locator(".phone .error").filter({ hasText: /./ }).count(), 0, "nothing was lost on the way");
  await page.click("#phone-0-trouble summary");
  await tab.click("#phone-0-lose");
  await page.click("#phone-0-restore summary");
  await page.fill("#phone-0-typed", code.replace(/^./, letter => (letter === "A" ? "B" : "A")));
  await tab.click("#phone-0-again");
  assert.match(await tab.text("#phone-0-wrong"), /no code/);
  await page.fill("#phone-0-typed", code.toLowerCase().replaceAll("-", " "));
  await tab.click("#phone-0-again");
  await tab.until("the review's state", async () => /appeared on/.test(await tab.stage(0)));
  await tab.reload();
  assert.match(await tab.text(`#${order}`), /It can be edited and withdrawn/);

  // Who is pressed can show nothing.
  const before = await page.locator(`#${order}`).textContent();
  await tab.click(`#${order}-withdraw`);
  await tab.click(`#${order}-yes`);
  assert.match(await tab.said(), /nobody can make you prove it/);
  await tab.reload();
  assert.equal(await page.locator(`#${order}`).textContent(), before);
  await tab.until("the withdrawal", async () => /was withdrawn/.test(await tab.stage(0)));
  await tab.see("public");
  assert.ok(!(await tab.text(".reviews")).includes("cracked"));
  await tab.click("#check");
  assert.match(await tab.text("#verdict"), /No published review is missing/);
  assert.equal(await page.locator(".reviews .good").count(), await page.locator(".reviews > li").count());

  // And what was changed in the listing, or in the ledger, is found.
  const { pins, witness, merchant } = await json(running, "/demo/state");
  const { reviews } = await json(running, `/reviews/published/${merchant}`);
  const get = async path => new Uint8Array(await (await fetch(`${running.page}/ledgers/reviews/${path}`)).arrayBuffer());
  const asked = { log: pins.ledgers.reviews, witness, merchant, listed: reviews, get };
  const sound = await check(asked);
  assert.ok(sound.missing === 0 && [...sound.results.values()].every(Boolean));
  const flatters = await check({ ...asked, listed: [{ ...reviews[0], text: "Splendid." }, ...reviews.slice(1)] });
  assert.equal([...flatters.results.values()].filter(holds => !holds).length, 1);
  assert.equal((await check({ ...asked, listed: reviews.slice(1) })).missing, 1);
  for (const part of ["checkpoint", "tile/entries"]) {
    const spoilt = async path => {
      const bytes = await get(path);
      if (path.startsWith(part)) bytes[bytes.length - 40] ^= 1;
      return bytes;
    };
    await assert.rejects(check({ ...asked, get: spoilt }), part);
  }
  await profile.close();
});

test("two tabs at once: neither forgets what the other did", async t => {
  const { running, profile, tab } = await begin();
  t.after(() => running.end());
  await tab.setUp(0);
  await tab.setUp(1);
  const other = await profile.tab();
  await other.settled();
  await Promise.all([tab.click("#phone-0-order"), other.click("#phone-1-order")]);
  // Both move the clock, and both phones do what is due then.
  const write = async (one, phone) => {
    await one.until("eligibility", async () => (await one.page.locator(`#${await one.order(phone)}-write`).count()) > 0);
    await one.write(phone, 2, `Written in tab ${phone}.`);
  };
  await Promise.all([write(tab, 0), write(other, 1)]);
  await Promise.all([tab.click("#day"), other.click("#day"), tab.page.waitForTimeout(0)]);
  const appeared = async one => /appear/.test(await one.stage(0)) && /appear/.test(await one.stage(1));
  await Promise.all([tab.until("sending", () => appeared(tab)), other.until("sending", () => appeared(other))]);
  await Promise.all([tab.reload(), other.reload()]);
  for (const one of [tab, other]) {
    const phones = await one.text(".phones");
    for (const phone of [0, 1]) assert.ok(phones.includes(`Written in tab ${phone}.`), phones);
    assert.equal(await one.page.locator(".orders > li").count(), 2);
  }
  await tab.until("publication", async () => (await json(running, "/reviews/published/lamps.example")).reviews.filter(review => review.text.startsWith("Written in")).length === 2);
  await profile.close();
});

test("without a relay, without a network, or with a wrong clock a phone waits, and goes on afterwards", async t => {
  const { running, profile, tab } = await begin();
  const { page } = tab;
  t.after(() => running.end());
  for (const phone of [0, 1, 2]) await tab.setUp(phone);
  for (const phone of [0, 1, 2]) await tab.click(`#phone-${phone}-order`);
  await tab.until("eligibility", async () => (await page.locator(`#${await tab.order(2)}-write`).count()) > 0);
  const hasToken = async phone => /There is a token/.test(await tab.stage(phone));
  await tab.until("tokens", async () => (await Promise.all([0, 1, 2].map(hasToken))).every(Boolean));
  for (const phone of [0, 1, 2]) await tab.write(phone, 2, `By phone ${phone}.`);
  await page.click("#phone-1-trouble summary");
  await page.check("#phone-1-offline");
  await page.click("#phone-2-trouble summary");
  await page.selectOption("#phone-2-skew", "172800");
  await tab.settled();
  await profile.context.route(`${running.relay}/**`, route => route.abort());
  for (let day = 0; day < 5; day += 1) await tab.click("#day");
  const phone = number => tab.page.locator(`article:has(#phone-${number})`).textContent();
  assert.match(await phone(0), /No answer came through the relay/);
  assert.match(await phone(2), /its clock is wrong/);
  const listed = async () => (await json(running, "/reviews/published/lamps.example")).reviews.map(review => review.text);
  assert.deepEqual((await listed()).filter(text => text.startsWith("By phone")), []);
  assert.ok((await listed()).length > 0, "the others' appeared");

  await profile.context.unroute(`${running.relay}/**`);
  await page.uncheck("#phone-1-offline");
  await page.selectOption("#phone-2-skew", "0");
  await tab.settled();
  await tab.until("all three", async () => (await listed()).filter(text => text.startsWith("By phone")).length === 3);
  await tab.reload();
  for (const number of [0, 1, 2]) assert.match(await tab.stage(number), /appeared on/);
  await profile.close(/ERR_FAILED/);
});

test("without the package the page says the command that builds it", async t => {
  const running = await demo({ UNJOIN_WEB: "nowhere" }), profile = await Profile.open(browser, running), tab = await profile.tab();
  t.after(() => running.end());
  await tab.settled();
  assert.equal(await tab.text("pre"), "bindings/web/build");
  await profile.close(/404/);
});

test("only the page asks, under no other name, and nobody names an account", async t => {
  const running = await demo();
  t.after(() => running.end());
  const { hostname, port } = new URL(running.page);
  const status = (path, headers = {}, method = "GET") => new Promise((resolve, reject) => {
    const asked = request({ hostname, port, path, method, headers }, answer => { answer.resume(); resolve(answer.statusCode); });
    asked.on("error", reject);
    asked.end(method === "POST" ? "{}" : undefined);
  });
  assert.equal(await status("/demo/state"), 200);
  assert.equal(await status("/demo/state", { host: "rebound.example" }), 421);
  assert.equal(await status("/demo/state", { "sec-fetch-site": "cross-site" }), 421);
  assert.equal(await status("/session/account-ann/orders/nonce", {}, "POST"), 200);
  assert.equal(await status("/session/account-4/orders/nonce", {}, "POST"), 404);
  assert.equal(await status("/orders/nonce", { "unjoin-account": "account-ann" }, "POST"), 401);
  assert.equal(await status("/phones/route", {}, "POST"), 404, "the platform's own side is not here");
});
