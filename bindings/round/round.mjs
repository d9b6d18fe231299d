// The round that every binding plays: enrolled, granted, written, published, found in the ledger, withdrawn, restored.

import { DAY, MERCHANT, tell } from "./shop.mjs";

export const ACCOUNTS = ["account-1", "account-2"];
export const TEXT = "It came broken.";
const PASSPHRASE = "three words more";

export const seed = () => crypto.getRandomValues(new Uint8Array(32));

function assert(holds, what) {
  if (!holds) throw new Error(what);
}

/// One round with these shop and package; what came to the first customer is kept in `came`, the first of each kind with its
/// time.
export class Round {
  constructor(unjoin, shop) {
    Object.assign(this, { unjoin, shop, came: {}, milliseconds: {} });
  }

  /// A package in another process says itself how long it took.
  async timed(what, call) {
    const from = performance.now(), result = await call();
    (this.milliseconds[what] ??= []).push(this.unjoin.took?.() ?? performance.now() - from);
    return result;
  }

  /// Sends what is due, and what is due after it; the times of what comes later.
  async wake(customer) {
    const { unjoin, shop } = this;
    for (;;) {
      const actions = await this.timed("next", () => customer.device.next(shop.now));
      const due = actions.filter(action => action.request);
      for (const action of due) {
        const answered = await shop.send(customer.account, action.request), { kind } = action.request;
        // A list without manifests says nothing.
        const isFirst = !this.came[kind] || this.came[kind].manifests?.length === 0;
        if (customer.account === ACCOUNTS[0] && isFirst) this.came[kind] = { ...answered, at: shop.now };
        await this.timed(kind, () => tell(customer.device, action, answered, shop.now));
      }
      if (due.length > 0) continue;
      // Closed and opened again, as an app is.
      const blob = await this.timed("seal", () => customer.device.seal(customer.key)), trust = await shop.trust();
      await customer.device.free();
      customer.device = await this.timed("open", () => unjoin.Device.open(blob, customer.key, trust));
      return actions.map(action => action.at);
    }
  }

  /// Goes on until this holds, from one wake-up to the next.
  async until(customers, holds) {
    for (let step = 0; step < 400; step += 1) {
      let times = [];
      for (const customer of customers) times.push(...await this.wake(customer));
      if (await holds()) return;
      times = times.filter(time => time > this.shop.now);
      await this.shop.goTo(Math.min(this.shop.now + DAY / 2, ...times));
    }
    throw new Error(`not within 400 steps: ${JSON.stringify(await customers[0].device.reviews(this.shop.now))}`);
  }

  async play() {
    const { unjoin, shop } = this, customers = [];
    for (const account of ACCOUNTS) {
      const [own, key] = [seed(), seed()], handle = await shop.order(account);
      const device = await unjoin.Device.create(own, shop.pins.issuer, account, await shop.trust());
      await device.orderEligible(MERCHANT, handle, shop.now);
      customers.push({ account, seed: own, key, handle, device });
    }
    const [author] = customers, { handle } = author, status = async () => (await author.device.reviews(shop.now))[0];
    const is = stage => async () => (await status()).stage === stage;
    const draft = "Ü: write to me@home.example";
    const { warnings } = await author.device.draftReview(handle, 1, draft, [], shop.now);
    assert(warnings.map(({ start, end }) => draft.slice(start, end)).includes("me@home.example"), "no warning");
    await this.timed("writeReview", () => author.device.writeReview(handle, 1, TEXT, shop.now));
    assert((await status()).wordsZh === "等待足够多的人也可以评价", "other words");

    await this.until(customers, async () => (await status()).receipt);
    assert(await is("appears")(), "a receipt, and nothing to come");
    assert((await shop.published()).length === 0, "published before its boundary");
    await this.until(customers, is("appeared"));
    assert((await shop.published()).map(review => review.text).join() === TEXT, "not published");
    // Unasked, the device looks for it in what the ledger shows to everybody.
    await this.until(customers, async () => (await status()).promise);
    assert((await status()).promise === "kept", "not in the ledger");

    await author.device.withdrawReview(handle, shop.now);
    assert(await is("appeared")(), "somebody sees that it waits");
    await this.until(customers, is("withdrawn"));
    assert((await shop.published()).length === 0, "published after it was withdrawn");
    this.code = await author.device.recoveryCode();
    // Not in a page: what stretches the passphrase would not fit into its size.
    if (author.device.backUp) this.backup = await this.timed("backUp", () => author.device.backUp(PASSPHRASE));
    Object.assign(this, { seed: author.seed, key: author.key, handle, blob: await author.device.seal(author.key) });
  }

  /// Of the seed alone, as a code or a backup, too: the token again, and where the review stands.
  async restore() {
    const { unjoin, shop } = this, { issuer } = shop.pins, trust = await shop.trust(), [account] = ACCOUNTS;
    const devices = [
      await unjoin.Device.restore(this.seed, issuer, account, trust),
      await unjoin.Device.restoreCode(this.code.toLowerCase(), issuer, account, trust),
    ];
    if (this.backup) devices.push(await unjoin.Device.restoreBackup(this.backup, PASSPHRASE, issuer, account, trust));
    const customers = devices.map(device => ({ account, key: seed(), device }));
    for (const { device } of customers) await device.orderEligible(MERCHANT, this.handle, shop.now);
    await this.until(customers, async () => {
      const reviews = await Promise.all(customers.map(({ device }) => device.reviews(shop.now)));
      return reviews.every(([{ stage }]) => stage === "withdrawn");
    });
  }

  /// The medians.
  figures() {
    const median = times => +times.sort((a, b) => a - b)[times.length >> 1].toFixed(2);
    return Object.fromEntries(Object.entries(this.milliseconds).map(([what, times]) => [what, median(times)]));
  }
}
