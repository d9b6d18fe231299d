// What a page does around the package: it knows what it ships, and sends. In node and in a browser alike: `platform` is what
// posts and reads files there.

export const MERCHANT = "lamps.example";
export const DAY = 86_400;

/// base64url, without padding.
export const bytes = text => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), unit => unit.charCodeAt(0));
const base64 = bytes =>
  btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
const unhex = text => Uint8Array.from(text.match(/../g), digits => parseInt(digits, 16));
const hex = bytes => Array.from(bytes, byte => byte.toString(16).padStart(2, "0")).join("");

/// The platform, with a clock that is moved, and what a page ships of it.
export class Shop {
  static async open(web, platform) {
    const shop = Object.assign(new Shop(), { web, platform });
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

  trust() {
    const { pins } = this, trust = new this.web.Trust(pins.platform_key, 2, "daily");
    trust.pinTrustees(pins.trustees, 2);
    trust.pinIssuerKey(pins.issuer_key, bytes(pins.certificate));
    trust.pinLedger(pins.ledgers.reviews, [this.platform.witness], 1, 0, DAY);
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
    const { host, keys } = await this.platform.file("door-keys.json"), door = new this.web.Door(this.trust(), host);
    keys.forEach(key => door.pin(bytes(key)));
    return door;
  }

  /// Sealed, through the relay, and opened.
  async ask(message) {
    const question = (await this.door()).seal(message, this.now);
    const answer = await this.platform.post("relay", "/shop", question.body, { "content-type": "message/ohttp-req" });
    if (answer.status !== 200) throw new Error(`the relay says ${answer.status}`);
    return question.open(answer.body);
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
      // A page fetches bundles; this shop has no witness, whose word for them would be needed.
      case "manifests": return { manifests: (await this.json("devices", `/manifests/${MERCHANT}`)).manifests.map(bytes) };
      case "door": return { answer: (await this.ask(asked.message)).message };
    }
    throw new Error(`a device asks for ${asked.kind}`);
  }
}

/// Tells a device what came of its action.
export function tell(device, action, came, now) {
  if (came.code) device.handleRefused(action.number, came.code, now);
  else if (came.manifests) device.handleManifests(action.number, came.manifests, now);
  else device.handle(action.number, came.answer, now);
}
