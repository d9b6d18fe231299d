// The page: its clock, its views, its language.

import { Device, json } from "./device.mjs";
import { el, put } from "./html.mjs";
import { PhoneView } from "./phone.mjs";
import { Phones } from "./store.mjs";
import { gang, officer, portal, shown } from "./views.mjs";
import { current, long, speak, t } from "./words.mjs";

const DAY = 86_400;
const of = id => document.getElementById(id);
const VIEWS = { phones: null, portal, public: shown, gang, officer };

/** So many things are under way. */
let busy = 0;

const page = {
  about: null,
  phones: [],
  /** Said aloud, and shown. */
  say(words) {
    of("said").textContent = words;
  },
  /** What fails is said. */
  async guarded(work) {
    busy += 1;
    of("main").setAttribute("aria-busy", "true");
    try {
      return await work();
    } catch (error) {
      page.say(t("failed", error.message));
    } finally {
      busy -= 1;
      of("main").setAttribute("aria-busy", String(busy > 0));
    }
  },
  /** Draws all that is seen anew, here and in other tabs. */
  async changed() {
    await draw();
    others.postMessage("changed");
  },
};

const others = new BroadcastChannel("unjoin-demo");
others.onmessage = () => page.guarded(async () => {
  page.about.now = (await json("/demo/state")).now;
  await draw();
});

const view = () => (location.hash.slice(1) in VIEWS ? location.hash.slice(1) : "phones");

/** One drawing at a time, and the last one that was asked for. */
let drawing = Promise.resolve();
function draw() {
  drawing = drawing.then(drawNow, drawNow);
  return drawing;
}

async function drawNow() {
  document.title = t("title");
  document.documentElement.lang = current();
  of("skip").textContent = t("skip");
  of("clock").setAttribute("aria-label", t("clock"));
  of("hour").textContent = t("hour");
  of("day").textContent = t("day");
  of("event").textContent = t("event");
  of("language").textContent = current() === "en" ? "中文" : "English";
  of("language").lang = current() === "en" ? "zh" : "en";
  of("theme").textContent = t(isDark() ? "light" : "dark");
  of("views").setAttribute("aria-label", t("views"));
  put(of("views"), el("ul", {}, Object.keys(VIEWS).map(name => el("li", {},
    el("a", { href: `#${name}`, id: `to-${name}`, "aria-current": name === view() && "page" }, t(name))))));
  if (!page.about) return;
  of("now").textContent = long(page.about.now);
  of("now").dateTime = new Date(page.about.now * 1000).toISOString();
  of("about").textContent = t("about", new URL(page.about.relay).host, new URL(page.about.gateway).host);
  const name = view(), section = of("view") ?? of("main").appendChild(el("section", { id: "view", "aria-labelledby": "title" }));
  if (section.dataset.view !== name || section.lang !== current()) {
    section.dataset.view = name;
    section.lang = current();
    section.replaceChildren(el("h2", { id: "title", tabindex: "-1" }, t(`${name}Title`)), el("div", { id: "inside" }));
    if (name === "phones") put(of("inside"), story(), el("p", {}, t("phonesText")), el("div", { class: "phones" }, page.phones.map(phone => phone.place)));
  }
  if (name === "phones") await Promise.all(page.phones.map(phone => phone.draw()));
  else await VIEWS[name](of("inside"), page);
}

function story() {
  return el("details", { id: "story", open: true }, el("summary", {}, t("story")), el("ol", {}, t("steps").map(step => el("li", {}, step))));
}

/** Everything whose change is an event: where orders and reviews stand, and how much was published. */
async function standing() {
  const phones = await Promise.all(page.phones.map(async ({ device }) => {
    const [own, { orders }] = await Promise.all([device.show(), json(`/demo/phones/${device.phone}/orders`)]);
    return [own?.reviews.map(({ handle, stage, at, receipt }) => [handle, stage, at, Boolean(receipt)]), orders.map(order => [order.handle, order.eligible_at, order.eligible_at <= page.about.now])];
  }));
  const { reviews } = await json(`/reviews/published/${page.about.merchant}`);
  return JSON.stringify([phones, reviews.map(review => [review.review_id, review.digest])]);
}

/** Goes on by so many seconds, from one time at which a phone has to do something to the next; or until an event. */
function goOn(seconds, untilEvent) {
  return page.guarded(() => navigator.locks.request("unjoin-clock", async () => {
    for (const id of ["hour", "day", "event"]) of(id).setAttribute("aria-disabled", "true");
    try {
      page.about.now = (await json("/demo/state")).now;
      const target = page.about.now + seconds, before = untilEvent && await standing();
      for (;;) {
        const wakes = await Promise.all(page.phones.map(({ device }) => device.wake()));
        of("now").textContent = long(page.about.now);
        if (page.about.now >= target || (untilEvent && await standing() !== before)) break;
        const next = Math.max(page.about.now + 1, Math.ceil(Math.min(...wakes)));
        const { now, why } = await json("/demo/clock", { to: Math.min(target, next) });
        if (why) throw new Error(why);
        page.about.now = now;
      }
      await page.changed();
      page.say(page.about.now >= target && untilEvent ? t("still") : t("moved", long(page.about.now)));
    } finally {
      for (const id of ["hour", "day", "event"]) of(id).removeAttribute("aria-disabled");
    }
  }));
}

const wanted = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.theme ?? (wanted.matches ? "dark" : "light")) === "dark";

function chosen(what) {
  try {
    return localStorage.getItem(`unjoin-${what}`);
  } catch {
    return null;
  }
}

function remember(what, choice) {
  try {
    localStorage.setItem(`unjoin-${what}`, choice);
  } catch {
    // It is asked again next time.
  }
}

async function begin() {
  speak(chosen("language") ?? (navigator.language.startsWith("zh") ? "zh" : "en"));
  const theme = chosen("theme");
  if (theme) document.documentElement.dataset.theme = theme;
  of("language").onclick = () => {
    speak(current() === "en" ? "zh" : "en");
    remember("language", current());
    page.say("");
    page.guarded(draw);
  };
  of("theme").onclick = () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    remember("theme", document.documentElement.dataset.theme);
    page.guarded(draw);
  };
  addEventListener("hashchange", () => page.guarded(async () => {
    page.say("");
    await draw();
    of("title").focus();
  }));
  await draw();
  let web;
  try {
    web = await import("/package/unjoin_web.js");
    await web.default();
  } catch {
    put(of("main"), el("h2", {}, t("phonesTitle")), el("p", {}, t("noWasm")), el("pre", {}, el("code", {}, "bindings/web/build")), el("p", {}, t("noWasmThen")));
    return;
  }
  page.about = await json("/demo/state");
  const phones = await Phones.open(page.about.pins.platform_key);
  page.phones = page.about.phones.map(({ name }, phone) => new PhoneView(new Device(web, page.about, phones, phone), name, page));
  of("hour").onclick = () => goOn(3_600, false);
  of("day").onclick = () => goOn(DAY, false);
  of("event").onclick = () => goOn(10 * DAY, true);
  for (const id of ["hour", "day", "event"]) of(id).disabled = false;
  await draw();
}

page.guarded(begin);
