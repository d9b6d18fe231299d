// The round that node and browsers play: enrolled, granted, written, published, withdrawn, restored.

import { DAY, MERCHANT, tell } from "./shop.mjs";

export const ACCOUNTS = ["account-1", "account-2"];
export const TEXT = "It came broken.";

export const seed = () => crypto.getRandomValues(new Uint8Array(32));

function assert(holds, what) {
  if (!holds) throw new Error(what);
}

/// One round with these shop and module; what came to the first customer is kept in `came`, the first of each kind with its time.
export class Round {
  constructor(web, shop) {
    Object.assign(this, { web, shop, came: {}, milliseconds: {} });
  }

  timed(what, call) {
    const from = performance.now(), result = call();
    (this.milliseconds[what] ??= []).push(performance.now() - from);
    return result;
  }

  /// Sends what is due, and what is due after it; the times of what comes later.
  async wake(customer) {
    const { web, shop } = this;
    for (;;) {
      const actions = this.timed("next", () => customer.device.next(shop.now));
      const due = actions.filter(action => action.request);
      for (const action of due) {
        const answered = await shop.send(customer.account, action.request), { kind } = action.request;
        // A list without manifests says nothing.
        const isFirst = !this.came[kind] || this.came[kind].manifests?.length === 0;
        if (customer.account === ACCOUNTS[0] && isFirst) this.came[kind] = { ...answered, at: shop.now };
        this.timed(kind, () => tell(customer.device, action, answered, shop.now));
      }
      if (due.length > 0) continue;
      // Closed and opened again, as a page is.
      const blob = this.timed("seal", () => customer.device.seal(customer.key));
      customer.device.free();
      customer.device = this.timed("open", () => web.Device.open(blob, customer.key, shop.trust()));
      return actions.map(action => action.at);
    }
  }

  /// Goes on until this holds, from one wake-up to the next.
  async until(customers, holds) {
    for (let step = 0; step < 400; step += 1) {
      let times = [];
      for (const customer of customers) times.push(...await this.wake(customer));
      if (holds()) return;
      times = times.filter(time => time > this.shop.now);
      await this.shop.goTo(Math.min(this.shop.now + DAY / 2, ...times));
    }
    throw new Error(`not within 400 steps: ${JSON.stringify(customers[0].device.reviews(this.shop.now))}`);
  }

  async play() {
    const { web, shop } = this, customers = [];
    for (const account of ACCOUNTS) {
      const [own, key] = [seed(), seed()], handle = await shop.order(account);
      const device = web.Device.create(own, shop.pins.issuer, account, shop.trust());
      device.orderEligible(MERCHANT, handle, shop.now);
      customers.push({ account, seed: own, key, handle, device });
    }
    const [author] = customers, { handle } = author, stage = () => author.device.reviews(shop.now)[0].stage;
    const draft = "Ü: write to me@home.example", { warnings } = author.device.draftReview(handle, 1, draft, [], shop.now);
    assert(warnings.map(({ start, end }) => draft.slice(start, end)).includes("me@home.example"), "no warning");
    this.timed("writeReview", () => author.device.writeReview(handle, 1, TEXT, shop.now));

    await this.until(customers, () => author.device.reviews(shop.now)[0].receipt);
    assert(stage() === "appears", "a receipt, and nothing to come");
    assert((await shop.published()).length === 0, "published before its boundary");
    await this.until(customers, () => stage() === "appeared");
    assert((await shop.published()).map(review => review.text).join() === TEXT, "not published");

    author.device.withdrawReview(handle, shop.now);
    assert(stage() === "appeared", "somebody sees that it waits");
    await this.until(customers, () => stage() === "withdrawn");
    assert((await shop.published()).length === 0, "published after it was withdrawn");
    Object.assign(this, { seed: author.seed, key: author.key, handle, blob: author.device.seal(author.key) });
  }

  /// Of the seed alone: the token again, and where the review stands.
  async restore() {
    const { web, shop } = this, device = web.Device.restore(this.seed, shop.pins.issuer, ACCOUNTS[0], shop.trust());
    device.orderEligible(MERCHANT, this.handle, shop.now);
    const customer = { account: ACCOUNTS[0], key: seed(), device };
    await this.until([customer], () => customer.device.reviews(shop.now)[0].stage === "withdrawn");
  }

  /// The medians.
  figures() {
    const median = times => +times.sort((a, b) => a - b)[times.length >> 1].toFixed(2);
    return Object.fromEntries(Object.entries(this.milliseconds).map(([what, times]) => [what, median(times)]));
  }
}
