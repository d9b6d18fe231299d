// The demonstration in a process of its own, and Chromium in front of it.
//
// UNJOIN_WEB: where the package was built. UNJOIN_EXAMPLES: where the examples were. UNJOIN_CHROMIUM: a browser.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

function fail(text) {
  throw new Error(text);
}

const EXAMPLES = process.env.UNJOIN_EXAMPLES ?? fail("set UNJOIN_EXAMPLES to the directory of the examples");
if (!process.env.UNJOIN_WEB) fail("set UNJOIN_WEB to the directory of the package");

/** Any free port of the loopback interface, in the form that a policy can name. */
const LISTEN = `${[127, 0, 0, 1].join(".")}:0`;

export async function demo(environment = {}) {
  const child = spawn(join(EXAMPLES, "service"), ["--demo", "--listen", LISTEN], { stdio: ["ignore", "pipe", "ignore"], env: { ...process.env, ...environment } });
  const addresses = {};
  for await (const line of createInterface({ input: child.stdout })) {
    const [, what, address] = /^(\S+) on (http:\/\/[\d.]+:\d+)/.exec(line) ?? [];
    if (what) addresses[what] = address;
    if (what === "page") break;
  }
  if (!addresses.page) fail("the demonstration ended");
  child.stdout.resume();
  const end = () => new Promise(ended => { child.once("exit", ended); child.kill("SIGTERM"); });
  return { ...addresses, end };
}

export const launch = () => chromium.launch({
  executablePath: process.env.UNJOIN_CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic"],
});

/** A browser's profile: what it kept is shared by its tabs. What the pages did wrong is in `wrongs`. */
export class Profile {
  static async open(browser, demo, options = {}) {
    const profile = Object.assign(new Profile(), { demo, wrongs: [], expected: [] });
    profile.context = await browser.newContext({ locale: "en-GB", colorScheme: "light", viewport: { width: 1280, height: 900 }, ...options });
    await profile.context.exposeBinding("noteViolation", (_, words) => profile.wrongs.push(`policy: ${words}`));
    await profile.context.addInitScript(() => {
      document.addEventListener("securitypolicyviolation", event => window.noteViolation(`${event.violatedDirective} ${event.blockedURI}`));
    });
    return profile;
  }

  async tab(view = "") {
    const page = await this.context.newPage();
    page.setDefaultTimeout(60_000);
    page.on("pageerror", error => this.wrongs.push(`error: ${error.message}`));
    page.on("console", message => message.type() === "error" && this.wrongs.push(`console: ${message.text()}`));
    await page.goto(`${this.demo.page}/${view && `#${view}`}`);
    return Object.assign(new Tab(), { page, profile: this });
  }

  /** Nothing was wrong but what these say. */
  async close(...known) {
    await this.context.close();
    const others = this.wrongs.filter(wrong => !known.some(pattern => pattern.test(wrong)));
    assert.deepEqual(others, []);
  }
}

export class Tab {
  /** Until nothing is under way. */
  settled() {
    return this.page.waitForSelector("main[aria-busy=false]");
  }

  async click(selector) {
    await this.settled();
    await this.page.click(selector);
    await this.settled();
  }

  async see(view) {
    await this.settled();
    await this.page.click(`#to-${view}`);
    await this.page.waitForSelector(`#view[data-view=${view}]`);
    await this.settled();
  }

  async reload() {
    await this.settled();
    await this.page.reload();
    await this.settled();
  }

  said() {
    return this.page.textContent("#said");
  }

  text(selector) {
    return this.page.textContent(selector);
  }

  /** The newest order of a phone: its element's id. */
  order(phone) {
    return this.page.locator(`article:has(#phone-${phone}) .orders > li`).first().getAttribute("id");
  }

  stage(phone) {
    return this.page.locator(`article:has(#phone-${phone}) .stage`).first().textContent();
  }

  async setUp(phone) {
    await this.click(`#phone-${phone}-begin`);
    await this.click(`#phone-${phone}-written`);
  }

  async write(phone, stars, text) {
    const id = await this.order(phone);
    await this.click(`#${id}-write`);
    await this.fill(id, stars, text);
  }

  async fill(id, stars, text) {
    await this.page.check(`#${id}-stars-${stars}`);
    await this.page.fill(`#${id}-text`, text);
    await this.click(`#${id}-done`);
  }

  /** From one event to the next, until this holds. */
  async until(what, holds, most = 20) {
    for (let step = 0; step < most; step += 1) {
      if (await holds()) return;
      await this.click("#event");
    }
    fail(`${what} did not come: ${await this.text("main")}`);
  }
}
