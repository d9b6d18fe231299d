// What an app does around the package: it knows what it ships, and sends. In node and in a browser alike: `platform` is what
// posts and reads files there. `unjoin` is the package, in whatever language: what it answers may be a promise.

export const MERCHANT = "lamps.example";
export const DAY = 86_400;
/// Gateways show the bundles of so many boundaries.
const SHOWN = 32;

/// base64url, without padding.
export const bytes = text => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), unit => unit.charCodeAt(0));
const base64 = bytes =>
  btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
const unhex = text => Uint8Array.from(text.match(/../g), digits => parseInt(digits, 16));
const hex = bytes => Array.from(bytes, byte => byte.toString(16).padStart(2, "0")).join("");

/// The platform, with a clock that is moved, and what an app ships of it.
export class Shop {
  static async open(unjoin, platform) {
    const shop = Object.assign(new Shop(), { unjoin, platform });
    shop.pins = await platform.file("public-keys.json");
    // It was busy before: two customers are a crowd.
    await shop.json("internal", "/merchants/introduce", { merchant: MERCHANT, class: 0, count: 6000 });
    await shop.goTo(0);
    return shop;
  }

  async json(where, path, body, headers) {
    const answer = await this.platform.post(where, path, body && JSON.stringify(body), headers);
    return { status: answer.status, ...JSON.parse(new TextDecoder().decode(answer.body)) };
  }

  async trust() {
    const { pins } = this, trust = await new this.unjoin.Trust(pins.platform_key, 2, "daily");
    await trust.pinTrustees(pins.trustees, 2);
    await trust.pinIssuerKey(pins.issuer_key, bytes(pins.certificate));
    await trust.pinLedger(pins.ledgers.reviews, [this.platform.witness], 1, 0, DAY);
    await trust.requireLedger();
    return trust;
  }

  async goTo(time) {
    const seconds = Math.max(0, Math.ceil(time - (this.now ?? time)));
    this.now = (await this.json("internal", "/clock/advance", { seconds })).now;
  }

  /// An order whose time is over and which had no numbers: its handle.
  async order(account) {
    const order = { order_id: `order-of-${account}`, account, merchant: MERCHANT, class: 0, due_at: this.now - DAY };
    const { handle } = await this.json("internal", "/orders/due", order);
    await this.json("internal", "/orders/numbers-dead", { merchant: MERCHANT, handle, at: this.now - DAY });
    return handle;
  }

  async published() {
    return (await this.json("devices", `/reviews/published/${MERCHANT}`)).reviews;
  }

  async door() {
    const { host, keys } = await this.platform.file("door-keys.json");
    const door = await new this.unjoin.Door(await this.trust(), host);
    for (const key of keys) await door.pin(bytes(key));
    return door;
  }

  /// Sealed, through the relay, and opened.
  async ask(message) {
    const question = await (await this.door()).seal(message, this.now);
    const answer = await this.platform.post("relay", "/shop", question.body, { "content-type": "message/ohttp-req" });
    if (answer.status !== 200) throw new Error(`the relay says ${answer.status}`);
    return question.open(answer.body);
  }

  /// What the ledger holds of a boundary about this merchant, and about all others of its shard; nothing if it is not
  /// shown. An app asks for each at a random time of its own.
  async bundle(boundary, merchant) {
    const { unjoin } = this, door = await this.door();
    const shard = await unjoin.shardOfMerchant(merchant, await door.shardBits(this.now));
    const piece = async at => this.ask(await unjoin.bundleQuestion(boundary, shard, at));
    const first = await piece(0);
    if (first.status !== 200) return undefined;
    const pieces = [first.body];
    const count = await unjoin.piecesOfBundle(first.body);
    while (pieces.length < count) pieces.push((await piece(pieces.length)).body);
    return unjoin.joinBundle(pieces);
  }

  /// Of all boundaries since this one at which a cohort may be published first.
  async manifests(since) {
    const today = this.now - (this.now % DAY), from = Math.max(since, today - (SHOWN - 2) * DAY), boundaries = [];
    for (let boundary = from - (from % DAY) + DAY; boundary <= today + 2 * DAY; boundary += DAY) boundaries.push(boundary);
    const bundles = await Promise.all(boundaries.map(boundary => this.bundle(boundary, MERCHANT)));
    return bundles.flatMap(bundle => bundle?.manifests ?? []);
  }

  /// Sends what a device asks for.
  async send(account, asked) {
    const orders = (path, body) => this.json("devices", `/orders/${path}`, body, { "unjoin-account": account });
    const came = (answer, of) => answer.status === 200 ? { answer: of(answer) } : { code: answer.code };
    switch (asked.kind) {
      case "nonce": return came(await orders("nonce", {}), answer => unhex(answer.nonce));
      case "enrol": {
        const body = { nonce: hex(asked.nonce), enrolment: base64(asked.enrolment) };
        return came(await orders("enrol", body), () => new Uint8Array());
      }
      case "offer": {
        const body = { merchant: asked.merchant, handle: asked.handle };
        return came(await orders("offer", body), answer => bytes(answer.offer));
      }
      case "grant": return came(await orders("grant", { request: base64(asked.request) }), answer => bytes(answer.grant));
      case "manifests": return { manifests: await this.manifests(asked.since) };
      case "published": {
        const bundle = await this.bundle(asked.boundary, asked.merchant);
        return bundle ? { entries: [...bundle.manifests, ...bundle.keys, ...bundle.others] } : {};
      }
      case "door": return { answer: (await this.ask(asked.message)).message };
    }
    throw new Error(`a device asks for ${asked.kind}`);
  }
}

/// Tells a device what came of its action.
export function tell(device, action, came, now) {
  if (came.code) return device.handleRefused(action.number, came.code, now);
  if (came.manifests) return device.handleManifests(action.number, came.manifests, now);
  if (came.entries) return device.handlePublished(action.number, came.entries, now);
  if (came.answer) return device.handle(action.number, came.answer, now);
  return device.handleLost(action.number, now);
}
