// A phone as its owner sees it.

import { el, put, stars } from "./html.mjs";
import { json } from "./device.mjs";
import { current, hour, long, t, time } from "./words.mjs";

/** What of an order the device does not know, and the words that the shop connects with it. */
const known = (order, name) => [t("item", order.item), order.id, name, ...name.split(" ")];

/** What is being written: kept while the page is, whatever is drawn anew. */
const drafts = new Map();

export class PhoneView {
  /** `device`: see device.mjs. `page` has `say`, `guarded` and `changed`. */
  constructor(device, name, page) {
    Object.assign(this, { device, name, page, id: `phone-${device.phone}` });
    this.place = el("article", { class: "phone card", "aria-labelledby": this.id });
  }

  /** Something that the owner does; what came of it is said, and everything drawn anew. */
  does(work, said) {
    return () => this.page.guarded(async () => {
      if (await work() === false) return;
      await this.page.changed();
      if (said) this.page.say(said());
    });
  }

  async draw() {
    const [shown, { orders }] = await Promise.all([this.device.show(), json(`/demo/phones/${this.device.phone}/orders`)]);
    const title = el("h3", { id: this.id, tabindex: "-1" }, el("span", { class: "visually-hidden" }, t("phoneOf", "")), this.name);
    put(this.place, title, shown ? this.inUse(shown, orders) : this.empty());
  }

  empty() {
    const field = el("textarea", { id: `${this.id}-typed`, rows: 3, autocomplete: "off", spellcheck: "false" });
    const wrong = el("p", { class: "error", id: `${this.id}-wrong`, role: "alert" });
    field.setAttribute("aria-describedby", wrong.id);
    const restore = this.does(async () => {
      if (await this.device.setUp(field.value)) return this.device.wake();
      wrong.textContent = t("noCode");
      field.focus();
      return false;
    }, () => t("restored"));
    const begin = this.does(async () => {
      await this.device.setUp();
      await this.device.wake();
    }, () => t("isSetUp"));
    return [
      el("button", { type: "button", id: `${this.id}-begin`, class: "main", onclick: begin }, t("setUp")),
      el("details", { id: `${this.id}-restore` }, el("summary", {}, t("restore")),
        el("form", { onsubmit: event => { event.preventDefault(); restore(); } },
          el("label", { for: field.id }, t("code")), field, wrong, el("button", { id: `${this.id}-again` }, t("restore")))),
    ];
  }

  inUse({ code, skew, offline, lost, reviews }, orders) {
    const written = this.does(() => this.device.change({ isWritten: true }));
    const order = this.does(async () => {
      await this.device.act((device, now) => device.accountUsed(now));
      await this.post(`/demo/phones/${this.device.phone}/orders`, {});
    }, () => t("isOrdered"));
    const newest = [...orders].reverse();
    return [
      code && el("div", { class: "code" }, el("p", {}, t("writeDown")), el("p", { class: "groups", lang: "zxx", id: `${this.id}-code` }, code),
        el("button", { type: "button", id: `${this.id}-written`, onclick: written }, t("written"))),
      lost && el("p", { class: "error" }, t("lostWhy")[lost]),
      el("button", { type: "button", id: `${this.id}-order`, class: newest.length ? "" : "main", disabled: offline, onclick: order }, t("order")),
      el("ul", { class: "orders" }, newest.map(order => this.order(order, reviews.find(review => review.handle === order.handle)))),
      this.trouble(skew, offline),
    ];
  }

  async post(path, body) {
    const { status, why } = await json(path, body);
    if (status !== 200) throw new Error(why);
  }

  order(order, review) {
    const isDead = this.device.about.now >= order.number_ends || order.eligible_at !== null;
    const stage = review ? this.stage(review) : order.eligible_at ? t("eligible", time(order.eligible_at)) : t("underWay");
    return el("li", { id: `${this.id}-${order.id}`, tabindex: "-1" },
      el("p", { class: "what" }, t("ordered", t("item", order.item), time(order.placed))),
      el("p", { class: isDead ? "dead" : "" }, isDead ? t("numberDead", order.number) : t("numberLives", order.number, hour(order.number_ends)),
        order.rang > 0 && [" ", el("strong", {}, t("rang", order.rang))]),
      el("p", { class: "stage" }, stage),
      review && this.review(order, review));
  }

  stage({ stage, at, text }) {
    if (stage === "open" && text !== undefined) return t("waiting");
    return ["appears", "appeared"].includes(stage) ? t(stage, time(at)) : t(stage) ?? t("unknown");
  }

  review(order, review) {
    const id = `${this.id}-${order.id}`, { handle } = order;
    if (drafts.has(id)) return this.form(id, order, review);
    const open = draft => this.does(() => { drafts.set(id, draft); });
    const isThere = review.text !== undefined || ["appears", "appeared"].includes(review.stage);
    const isLive = ["asking", "open", "waiting", "appears", "appeared"].includes(review.stage);
    if (!isThere) {
      const begin = open({ stars: 2, text: "" });
      return isLive && el("button", { type: "button", id: `${id}-write`, class: "main", onclick: begin }, t("write"));
    }
    const withdraw = this.does(() => this.device.act((device, now) => device.withdrawReview(handle, now)), () => t("changed"));
    const ask = event => {
      const sure = el("div", { class: "sure", role: "group", "aria-label": t("withdrawSure") }, el("p", {}, t("withdrawSure")),
        el("button", { type: "button", id: `${id}-yes`, onclick: withdraw }, t("yes")),
        el("button", { type: "button", id: `${id}-no`, onclick: this.does(() => {}) }, t("no")));
      event.target.replaceWith(sure);
      sure.querySelector("button").focus();
    };
    return [
      review.text === undefined ? el("p", { class: "small" }, t("forgotten"))
        : el("blockquote", {}, stars(review.stars), el("p", {}, review.text)),
      review.promise ? el("p", { class: review.promise === "kept" ? "good" : "error" }, review[current() === "zh" ? "promiseWordsZh" : "promiseWords"])
        : review.receipt && el("p", { class: "small" }, t("receipt")),
      isLive && el("div", { class: "buttons" },
        el("button", { type: "button", id: `${id}-edit`, onclick: open({ stars: review.stars ?? 3, text: review.text ?? "" }) }, t("edit")),
        el("button", { type: "button", id: `${id}-withdraw`, onclick: ask }, t("withdraw"))),
    ];
  }

  form(id, order, review) {
    const draft = drafts.get(id), { handle } = order, isEdit = review.text !== undefined || ["appears", "appeared"].includes(review.stage);
    const advice = el("div", { class: "advice", id: `${id}-advice`, role: "status" });
    const advise = async () => {
      const found = await this.device.draft(handle, draft.stars, draft.text, known(order, this.name));
      if (found) advice.replaceChildren(...this.advice(found, draft.text));
    };
    let timer;
    const field = el("textarea", {
      id: `${id}-text`, rows: 4, maxlength: 1000, value: draft.text, "aria-describedby": advice.id,
      oninput: () => { draft.text = field.value; clearTimeout(timer); timer = setTimeout(advise, 250); },
    });
    const choice = count => el("label", { class: "choice" },
      el("input", { type: "radio", name: `${id}-stars`, id: `${id}-stars-${count}`, value: String(count), checked: count === draft.stars, onchange: () => { draft.stars = count; } }),
      el("span", { class: "visually-hidden" }, t("starsOf", count)), el("span", { "aria-hidden": "true" }, `${count}★`));
    const done = this.does(async () => {
      const { stars, text } = draft, write = isEdit ? "editReview" : "writeReview";
      await this.device.act((device, now) => device[write](handle, stars, text, now));
      drafts.delete(id);
      // What a naive platform would write down, for comparison alone: see the gang's desk.
      await this.post("/demo/naive", { order: order.id, stars, text });
    }, () => t(isEdit ? "changed" : "writtenNow"));
    const cancel = this.does(() => { drafts.delete(id); });
    advise();
    return el("form", { class: "write", onsubmit: event => { event.preventDefault(); done(); } },
      el("fieldset", {}, el("legend", {}, t("stars")), [1, 2, 3, 4, 5].map(choice)),
      el("label", { for: field.id }, t("text")), field, advice,
      el("div", { class: "buttons" }, el("button", { class: "main", id: `${id}-done` }, t("done")),
        el("button", { type: "button", id: `${id}-cancel`, onclick: cancel }, t("cancel"))));
  }

  advice({ warnings, crowd, appears }, text) {
    const warns = warnings.map(({ kind, start, end }) => el("li", {}, t("warns", t("warning")[kind] ?? t("warning").other, text.slice(start, end))));
    return [
      text && (warns.length ? el("ul", { class: "warnings" }, warns) : el("p", {}, t("noWarnings"))),
      el("p", {}, crowd === undefined ? t("noCrowd") : t("crowd", crowd)),
      appears !== undefined && el("p", {}, t("appearsIf", long(appears))),
    ].filter(Boolean);
  }

  trouble(skew, offline) {
    const clock = el("select", { id: `${this.id}-skew`, onchange: event => this.does(() => this.device.change({ skew: Number(event.target.value) }))() },
      ["0", "-172800", "172800"].map(value => el("option", { value, selected: Number(value) === skew }, t("skews")[value])));
    const network = el("input", { type: "checkbox", id: `${this.id}-offline`, checked: offline, onchange: event => this.does(() => this.device.change({ offline: event.target.checked }))() });
    return el("details", { id: `${this.id}-trouble` }, el("summary", {}, t("trouble")),
      el("p", {}, el("label", { for: clock.id }, t("skew")), " ", clock),
      el("p", {}, network, " ", el("label", { for: network.id }, t("offline"))),
      el("p", {}, el("button", { type: "button", id: `${this.id}-lose`, onclick: this.does(() => this.device.lose(), () => t("lost")) }, t("lose"))),
      el("p", { class: "small" }, t("kept")));
  }
}
