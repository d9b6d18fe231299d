// A phone: the device for browsers, and what an app does around it. It says what to send and when; this sends it, and keeps
// its blob. No element of the page is touched here.

import { alone } from "./store.mjs";

const DAY = 86_400;
/** A door's question and its answer are these, whatever is asked. */
const QUESTION = "message/ohttp-req";
/** The gateway shows bundles of so many boundaries. */
const SHOWN = 31;

export const bytes = text => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), unit => unit.charCodeAt(0));
const base64 = bytes => btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
const unhex = text => Uint8Array.from(text.match(/../g), digits => parseInt(digits, 16));
const hex = bytes => Array.from(bytes, byte => byte.toString(16).padStart(2, "0")).join("");
const random = () => crypto.getRandomValues(new Uint8Array(32));

/** What nobody may learn from a request's surroundings. */
const HIDES = { credentials: "omit", referrerPolicy: "no-referrer", cache: "no-store" };

/** Asks this demonstration, or the service behind it. */
export async function json(path, body) {
  const method = body === undefined ? "GET" : "POST", headers = body === undefined ? {} : { "content-type": "application/json" };
  const answer = await fetch(path, { ...HIDES, method, headers, body: body && JSON.stringify(body) });
  return { ...await answer.json(), status: answer.status };
}

export class Device {
  /** `web`: the package; `about`: what the page ships, with the time; `phones`: where they are kept. */
  constructor(web, about, phones, phone) {
    Object.assign(this, { web, about, phones, phone, account: about.phones[phone].account });
    const { pins } = about;
    this.trust = new web.Trust(pins.platform_key, about.k, "daily");
    this.trust.pinTrustees(pins.trustees, 2);
    this.trust.pinIssuerKey(pins.issuer_key, bytes(pins.certificate));
    this.trust.pinLedger(pins.ledgers.reviews, [about.witness], 1, 0, DAY);
    this.trust.requireLedger();
  }

  /** What this phone takes for the time. */
  now(record) {
    return this.about.now + record.skew;
  }

  /** A new phone, or one of a code that had another before; false for what is no code. */
  setUp(code) {
    return alone(this.phone, async () => {
      if (await this.phones.read(this.phone)) return true;
      const { Device } = this.web, { issuer } = this.about.pins;
      let device;
      try {
        device = code === undefined ? Device.create(random(), issuer, this.account, this.trust)
          : Device.restoreCode(code, issuer, this.account, this.trust);
      } catch {
        return false;
      }
      const key = random(), blob = device.seal(key);
      device.free();
      // A page that is loaded again before the code was written down shows it again.
      const isWritten = code !== undefined;
      await this.phones.write(this.phone, { blob, key, isWritten, skew: 0, offline: false, doorKeys: [], told: {}, lost: null });
      return true;
    });
  }

  lose() {
    return alone(this.phone, () => this.phones.lose(this.phone));
  }

  open(record) {
    return this.web.Device.open(record.blob, record.key, this.trust);
  }

  /** What the device is now takes the place of what it was, before anything else is done with it. */
  async keep(device, record) {
    record.blob = device.seal(record.key);
    await this.phones.write(this.phone, record);
  }

  /** The phone's owner does something; undefined if there is no such phone. */
  act(work) {
    return alone(this.phone, async () => {
      const record = await this.phones.read(this.phone);
      if (!record) return undefined;
      const device = this.open(record);
      try {
        const done = work(device, this.now(record));
        await this.keep(device, record);
        return done;
      } finally {
        device.free();
      }
    });
  }

  /** Changes what the page, and not the device, keeps of the phone. */
  change(changes) {
    return alone(this.phone, async () => {
      const record = await this.phones.read(this.phone);
      if (record) await this.phones.write(this.phone, { ...record, ...changes });
    });
  }

  /** What there is to show. */
  async show() {
    const record = await this.phones.read(this.phone);
    if (!record) return undefined;
    const device = this.open(record), now = this.now(record);
    const reviews = device.reviews(now), code = record.isWritten ? null : device.recoveryCode();
    device.free();
    return { code, skew: record.skew, offline: record.offline, lost: record.lost, reviews };
  }

  /** Warnings, crowd and date for what is being written. */
  async draft(handle, stars, text, known) {
    const record = await this.phones.read(this.phone);
    if (!record) return undefined;
    const device = this.open(record);
    try {
      return device.draftReview(handle, stars, text, known, this.now(record));
    } finally {
      device.free();
    }
  }

  /** Does all that is due; when to wake again, by the demonstration's clock. What was sent is answered to the device that sent
      it: one that is opened from the blob takes all that was under way for lost, and sends it again at another time. */
  wake() {
    return alone(this.phone, async () => {
      const record = await this.phones.read(this.phone);
      if (!record) return Infinity;
      const device = this.open(record);
      try {
        await this.tellOrders(device, record);
        for (;;) {
          const actions = device.next(this.now(record)), due = actions.filter(action => action.request);
          await this.keep(device, record);
          if (due.length === 0) return Math.min(Infinity, ...actions.map(action => action.at)) - record.skew;
          for (const action of due) {
            await this.passOn(device, action, record);
            await this.keep(device, record);
          }
        }
      } finally {
        device.free();
      }
    });
  }

  /** The host tells its app which orders can get a token: all of them, and again when cohorts were sealed. */
  async tellOrders(device, record) {
    if (record.offline) return;
    const { orders, sealed } = await json(`/demo/phones/${this.phone}/orders`);
    for (const { handle, eligible_at: at } of orders) {
      if (at === null || at > this.about.now || record.told[handle] === sealed) continue;
      device.orderEligible(this.about.merchant, handle, this.now(record));
      record.told[handle] = sealed;
    }
  }

  /** Sends what the device asks for, and tells it what came of that. What went wrong is kept until something goes right. */
  async passOn(device, { number, request }, record) {
    let came;
    try {
      came = await this.send(request, record);
      record.lost = null;
    } catch (error) {
      record.lost = error?.code === "clock" ? "clock" : "network";
    }
    const now = this.now(record);
    try {
      if (!came) device.handleLost(number, now);
      else if (came.code) device.handleRefused(number, came.code, now);
      else if (came.manifests) device.handleManifests(number, came.manifests, now);
      else if (came.entries) device.handlePublished(number, came.entries, now);
      else device.handle(number, came.answer, now);
    } catch {
      // What cannot be read is no answer: the device has counted it as lost.
      record.lost = "network";
    }
  }

  async send(asked, record) {
    if (record.offline) throw new Error("there is no network");
    const came = (answer, of) => answer.status === 200 ? { answer: of(answer) } : { code: answer.code };
    const orders = (path, body) => json(`/session/${this.account}/orders/${path}`, body);
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
      case "manifests": return { manifests: await this.manifests(asked.since, record) };
      case "published": {
        const { manifests, keys, others } = await this.bundle(asked.boundary, record);
        return { entries: [...manifests, ...keys, ...others] };
      }
      case "door": return { answer: (await this.ask(asked.message, record)).message };
    }
    throw new Error(`a device asks for ${asked.kind}`);
  }

  /** All manifests of these boundaries, as everybody gets them: a bundle for each. */
  async manifests(since, record) {
    const now = this.now(record), boundary = now - now % DAY, manifests = [];
    for (let at = Math.max(since, boundary - SHOWN * DAY); at <= boundary + 2 * DAY; at += DAY) {
      manifests.push(...(await this.bundle(at, record)).manifests);
    }
    return manifests;
  }

  /** What the ledger holds of a boundary, in as many pieces as it has. Here all shops are in one shard. */
  async bundle(boundary, record) {
    const pieces = [];
    for (let piece = 0, of = 1; piece < of; piece += 1) {
      const { status, body } = await this.ask(this.web.bundleQuestion(boundary, 0, piece), record);
      // It holds nothing.
      if (status !== 200) return { manifests: [], keys: [], others: [] };
      of = this.web.piecesOfBundle(body);
      pieces.push(body);
    }
    return this.web.joinBundle(pieces);
  }

  /** Sealed to the gateway, through the relay, and opened. */
  async ask(message, record) {
    const question = await this.sealed(message, record);
    const answer = await fetch(this.about.relay, { ...HIDES, method: "POST", headers: { "content-type": QUESTION }, body: question.body });
    if (answer.status !== 200) throw new Error(`the relay says ${answer.status}`);
    return question.open(new Uint8Array(await answer.arrayBuffer()));
  }

  /** Under a key of the door that stands in the ledger and holds now. */
  async sealed(message, record) {
    const door = new this.web.Door(this.trust, this.about.host), now = this.now(record);
    for (const key of record.doorKeys) door.pin(key);
    try {
      return door.seal(message, now);
    } catch {
      // All that are kept have ended.
    }
    const { keys } = await json("/door/keys"), fresh = new this.web.Door(this.trust, this.about.host);
    try {
      keys.forEach(key => fresh.admit(bytes(key), now));
      const question = fresh.seal(message, now);
      record.doorKeys = fresh.entries();
      return question;
    } catch (error) {
      // The ledger's witness has just signed these: it is this phone that is wrong about the time.
      throw Object.assign(new Error(error.message), { code: "clock" });
    }
  }
}
