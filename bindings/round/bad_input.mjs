// Every message of a round changed: whatever comes in, what is wrong with it is the package's own error.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ACCOUNTS, TEXT, seed } from "./round.mjs";
import { DAY, MERCHANT, bytes, tell } from "./shop.mjs";

/// A number of changes of some bytes: each byte of a short message, so many of a long one; cut short, and longer.
export function* mutated(bytes, many = 200) {
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
export async function refuses(call) {
  try {
    await call();
    return false;
  } catch (error) {
    assert.equal(error?.name, "UnjoinError", `${error?.stack ?? error}`);
    assert.match(error.code, /^[a-z_]+(\.[a-z_]+)?$/);
    assert.equal(typeof error.retryable, "boolean");
    return true;
  }
}

/// The tests, of this package; `get` gives the round that was played, its shop and its platform.
export function bad_input(unjoin, get) {
  const all = async (changes, call) => {
    for (const changed of changes) assert.ok(await refuses(() => call(changed)));
  };

  /// A new device of the first customer's, with this kind of request under way: what came before was as it came then.
  async function asking(kind) {
    const { round, shop } = get();
    const device = await unjoin.Device.create(round.seed, shop.pins.issuer, ACCOUNTS[0], round.trust);
    let now = round.came.nonce.at;
    await device.orderEligible(MERCHANT, round.handle, now);
    // Who wrote nothing reads the ledger, too.
    if (kind !== "published") await device.writeReview(round.handle, 1, TEXT, now);
    for (let step = 0; step < 400; step += 1) {
      const actions = await device.next(now), due = actions.filter(action => action.request);
      for (const action of due) {
        if (action.request.kind === kind) return { device, action, now };
        await tell(device, action, round.came[action.request.kind], now);
      }
      if (due.length === 0) now = Math.min(...actions.map(action => action.at));
    }
    assert.fail(`${kind} is not asked for`);
  }

  test("every answer that was mutated is a typed error or changes nothing, never a trap", async t => {
    const { round, shop } = get();
    round.trust = await shop.trust();
    let [tried, refused, cohorts] = [0, 0, 0];
    for (const kind of ["nonce", "enrol", "offer", "grant", "manifests", "door", "published"]) {
      const { answer, manifests, entries } = round.came[kind];
      const listed = manifests ? "manifests" : "entries";
      for (const changed of mutated(answer ?? (manifests ?? entries)[0], kind === "nonce" ? 8 : 100)) {
        const { device, action, now } = await asking(kind);
        const answered = answer ? { answer: changed } : { [listed]: [changed] };
        const is = await refuses(() => tell(device, action, answered, now));
        // Any 32 bytes are a nonce, an enrolment is answered by none, and another cohort's manifest is nobody's here.
        const isNone = kind === "nonce" || (kind === "enrol" && changed.length === 0);
        const isAnothers = kind === "manifests" && (await device.reviews(now))[0].stage === "waiting";
        // Which cohort an order is in is the service's to say, in 8 bytes.
        const isOffer = kind === "offer" && !is && (cohorts += 1) <= 8;
        assert.ok(is || isNone || isAnothers || isOffer, `${kind} was taken`);
        await refuses(() => device.next(now));
        await device.free();
        [tried, refused] = [tried + 1, refused + is];
      }
    }
    t.diagnostic(`${tried} answers, ${refused} refused`);
  });

  test("every byte of a blob, a key, a backup, a question, an answer and a pin that was changed is refused", async () => {
    const { round, shop, platform } = get(), trust = await shop.trust(), { issuer } = shop.pins;
    await all(mutated(round.blob), blob => unjoin.Device.open(blob, round.key, trust));
    await all(mutated(round.key), key => unjoin.Device.open(round.blob, key, trust));
    const { host, keys } = await platform.file("door-keys.json");
    await all(mutated(bytes(keys[0])), async key => (await new unjoin.Door(trust, host)).pin(key));
    assert.ok(await refuses(() => new unjoin.Door(trust, "no host")));
    // Opening takes its time: a few of each part.
    const { backup = new Uint8Array() } = round, few = backup.length > 0 ? mutated(backup, 6) : [];
    await all(few, backup => unjoin.Device.restoreBackup(backup, "three words more", issuer, "account-1", trust));
    for (const code of ["", "0000", round.code.slice(1), `${round.code}0`, round.code.replace(/.$/, "_")]) {
      assert.ok(await refuses(() => unjoin.Device.restoreCode(code, issuer, "account-1", trust)));
    }

    const door = await shop.door(), question = await unjoin.bundleQuestion(shop.now - (shop.now % DAY), 0, 0);
    for (const message of mutated(question)) await refuses(() => door.seal(message, shop.now));
    assert.ok(await refuses(() => door.seal(question, shop.now + 400 * DAY)), "no key holds then");
    await all(mutated(new Uint8Array(8_285)), async answer => (await door.seal(question, shop.now)).open(answer));
    const asked = await shop.ask(question);
    assert.ok([200, 503].includes(asked.status));
    for (const piece of mutated(asked.body)) await refuses(() => unjoin.joinBundle([piece]));
    for (const piece of mutated(asked.body)) await refuses(() => unjoin.piecesOfBundle(piece));

    await all(mutated(bytes(shop.pins.certificate)), async changed => {
      const pins = await new unjoin.Trust(shop.pins.platform_key, 2, "daily");
      await pins.pinTrustees(shop.pins.trustees, 2);
      await pins.pinIssuerKey(shop.pins.issuer_key, changed);
    });
  });

  test("arguments of no use are refused: times, texts, lengths", async () => {
    const { shop } = get(), trust = await shop.trust(), { issuer } = shop.pins;
    const device = await unjoin.Device.create(seed(), issuer, "account-3", trust);
    assert.ok(await refuses(() => device.next(-1)));
    for (const handle of ["", "zz", "0".repeat(31), "\ud800"]) assert.ok(await refuses(() => device.forget(handle)));
    for (const name of ["", "x".repeat(65)]) assert.ok(await refuses(() => device.orderEligible(name, "0".repeat(32), 1)));
    for (const stars of [0, 6, 255]) assert.ok(await refuses(() => device.writeReview("0".repeat(32), stars, TEXT, 1)));
    assert.ok(await refuses(() => device.writeReview("0".repeat(32), 1, "x".repeat(100_000), 1)));
    assert.ok(await refuses(() => new unjoin.Trust("00", 2, "daily")));
    assert.ok(await refuses(() => trust.pinLedger("no key", [], 1, 0, DAY)));
    if (device.backUp) assert.ok(await refuses(() => device.backUp("")));
    assert.ok(await refuses(() => device.handle(7, new Uint8Array(), 1)), "nothing of this number was asked");
    assert.equal((await device.seal(seed())).length, 16_426);
  });
}
