// A whole round in node against examples/service through examples/relay, and every message of it mutated.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { load, start } from "./platform.mjs";
import { ACCOUNTS, Round, TEXT, seed } from "./round.mjs";
import { DAY, MERCHANT, Shop, bytes, tell } from "./shop.mjs";

const WEB = await load();
let platform, shop, round;

before(async () => {
  platform = await start();
  shop = await Shop.open(WEB, platform);
  round = new Round(WEB, shop);
});
after(() => platform?.end());

test("a round: enrolled, granted, written, published, withdrawn", async t => {
  await round.play();
  t.diagnostic(`milliseconds: ${JSON.stringify(round.figures())}`);
});

test("what becomes of a seed alone: the token again, and where the review stands", () => round.restore());

/// A number of changes of some bytes: each byte of a short message, so many of a long one; cut short, and longer.
function* mutated(bytes, many = 200) {
  const step = Math.max(1, Math.floor(bytes.length / many));
  for (let at = 0; at < bytes.length; at += step) {
    const changed = bytes.slice();
    changed[at] ^= 1 << (at % 8);
    yield changed;
  }
  yield bytes.slice(0, -1);
  yield new Uint8Array([...bytes, 0]);
  yield new Uint8Array();
}

/// Whether it is refused, by an error of the package's: anything else that is thrown is no error but a trap.
function refuses(call) {
  try {
    call();
    return false;
  } catch (error) {
    assert.equal(error?.name, "UnjoinError", `${error?.stack ?? error}`);
    assert.match(error.code, /^[a-z_]+(\.[a-z_]+)?$/);
    assert.equal(typeof error.retryable, "boolean");
    assert.ok(error.message.length > 10);
    return true;
  }
}

/// A new device of the first customer's, with this kind of request under way: what came before was as it came then.
function asking(kind) {
  const device = WEB.Device.create(round.seed, shop.pins.issuer, ACCOUNTS[0], shop.trust());
  let now = round.came.nonce.at;
  device.orderEligible(MERCHANT, round.handle, now);
  device.writeReview(round.handle, 1, TEXT, now);
  for (let step = 0; step < 400; step += 1) {
    const actions = device.next(now), due = actions.filter(action => action.request);
    for (const action of due) {
      if (action.request.kind === kind) return { device, action, now };
      tell(device, action, round.came[action.request.kind], now);
    }
    if (due.length === 0) now = Math.min(...actions.map(action => action.at));
  }
  assert.fail(`${kind} is not asked for`);
}

test("every answer that was mutated is a typed error or changes nothing, never a trap", t => {
  let [tried, refused, cohorts] = [0, 0, 0];
  for (const kind of ["nonce", "enrol", "offer", "grant", "manifests", "door"]) {
    const { answer, manifests } = round.came[kind];
    for (const changed of mutated(answer ?? manifests[0], kind === "nonce" ? 8 : 100)) {
      const { device, action, now } = asking(kind);
      const answered = answer ? { answer: changed } : { manifests: [changed] };
      const is = refuses(() => tell(device, action, answered, now));
      // Any 32 bytes are a nonce, an enrolment is answered by none, and another cohort's manifest is nobody's here.
      const isNone = kind === "nonce" || (kind === "enrol" && changed.length === 0);
      const isAnothers = kind === "manifests" && device.reviews(now)[0].stage === "waiting";
      // Which cohort an order is in is the service's to say, in 8 bytes.
      const isOffer = kind === "offer" && !is && (cohorts += 1) <= 8;
      assert.ok(is || isNone || isAnothers || isOffer, `${kind} was taken`);
      refuses(() => device.next(now));
      device.free();
      [tried, refused] = [tried + 1, refused + is];
    }
  }
  t.diagnostic(`${tried} answers, ${refused} refused`);
});

test("every byte of a blob, a key, a question, an answer and a pin that was changed is refused", async () => {
  const trust = shop.trust();
  for (const blob of mutated(round.blob)) assert.ok(refuses(() => WEB.Device.open(blob, round.key, trust)));
  for (const key of mutated(round.key)) assert.ok(refuses(() => WEB.Device.open(round.blob, key, trust)));
  const { host, keys } = await platform.file("door-keys.json"), entry = bytes(keys[0]);
  for (const key of mutated(entry)) assert.ok(refuses(() => new WEB.Door(trust, host).pin(key)));
  refuses(() => new WEB.Door(trust, "no host"));

  const door = await shop.door(), question = WEB.bundleQuestion(shop.now - (shop.now % DAY), 0, 0);
  for (const message of mutated(question)) refuses(() => door.seal(message, shop.now));
  assert.ok(refuses(() => door.seal(question, shop.now + 400 * DAY)), "no key holds then");
  for (const answer of mutated(new Uint8Array(8_285))) {
    assert.ok(refuses(() => door.seal(question, shop.now).open(answer)));
  }
  const asked = await shop.ask(question);
  assert.ok([200, 503].includes(asked.status));
  for (const piece of mutated(asked.body)) refuses(() => WEB.joinBundle([piece]));
  for (const piece of mutated(asked.body)) refuses(() => WEB.piecesOfBundle(piece));

  const certificate = bytes(shop.pins.certificate);
  for (const changed of mutated(certificate)) {
    assert.ok(refuses(() => {
      const pins = new WEB.Trust(shop.pins.platform_key, 2, "daily");
      pins.pinTrustees(shop.pins.trustees, 2);
      pins.pinIssuerKey(shop.pins.issuer_key, changed);
    }));
  }
});

test("arguments of no use are refused: times, numbers, texts, lengths", () => {
  const trust = shop.trust(), device = WEB.Device.create(seed(), shop.pins.issuer, "account-3", trust);
  for (const time of [NaN, -1, Infinity, 2 ** 60]) assert.ok(refuses(() => device.next(time)));
  for (const handle of ["", "zz", "0".repeat(31), "\ud800"]) assert.ok(refuses(() => device.forget(handle)));
  for (const name of ["", "x".repeat(65)]) assert.ok(refuses(() => device.orderEligible(name, "0".repeat(32), 1)));
  for (const shard of [-1, 0.5, 65_536, NaN]) assert.ok(refuses(() => WEB.bundleQuestion(1_700_006_400, shard, 0)));
  for (const stars of [0, 6, 255]) assert.ok(refuses(() => device.writeReview("0".repeat(32), stars, TEXT, 1)));
  assert.ok(refuses(() => device.writeReview("0".repeat(32), 1, "x".repeat(100_000), 1)));
  assert.ok(refuses(() => new WEB.Trust("00", 2, "daily")));
  assert.ok(refuses(() => new WEB.Trust(shop.pins.platform_key, 2.5, "daily")));
  assert.ok(refuses(() => new WEB.Trust(shop.pins.platform_key, 2, "hourly")));
  assert.ok(refuses(() => trust.pinLedger("no key", [], 1, 0, DAY)));
  assert.ok(refuses(() => device.handle(7, new Uint8Array(), 1)), "nothing of this number was asked");
  assert.equal(device.seal(seed()).length, 16_426);
});
