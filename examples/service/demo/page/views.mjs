// What everybody else sees: the shop, the public, the gang, an officer.

import { el, put, stars } from "./html.mjs";
import { json } from "./device.mjs";
import { check } from "./ledger.mjs";
import { t, time } from "./words.mjs";

const listing = async about => (await json(`/reviews/published/${about.merchant}`)).reviews;

/** Rows of a table, each cell under a heading that it names on narrow screens. */
function table(caption, headings, rows) {
  const cell = (content, at) => el("td", { "data-heading": headings[at] }, content);
  return el("table", {}, el("caption", { class: "visually-hidden" }, caption),
    el("thead", {}, el("tr", {}, headings.map(heading => el("th", { scope: "col" }, heading)))),
    el("tbody", {}, rows.map(row => el("tr", {}, row.map(cell)))));
}

export async function portal(place, page) {
  const [{ orders }, reviews] = await Promise.all([json("/demo/portal"), listing(page.about)]);
  const ring = ({ number }) => () => page.guarded(async () => {
    const { connects } = await json("/demo/ring", { number });
    await page.changed();
    page.say(t(connects ? "connects" : "refuses", number));
  });
  const row = order => [order.id, order.customer, t("item", order.item), time(order.placed),
    [el("span", { class: "number" }, order.number), " ", el("span", { class: order.is_over ? "tag dead" : "tag" }, t(order.is_over ? "dead" : "alive"))],
    el("button", { type: "button", id: `ring-${order.id}`, "aria-label": t("ringOf", order.id), onclick: ring(order) }, t("ring"))];
  const headings = ["colOrder", "colCustomer", "colItem", "colPlaced", "colNumber", "colCall"].map(key => t(key));
  put(place, el("p", {}, t("portalText")),
    orders.length ? table(t("portalTitle"), headings, [...orders].reverse().map(row)) : el("p", {}, t("noOrders")),
    el("h3", {}, t("public")), reviewsOf(reviews));
}

function reviewsOf(reviews, results) {
  if (reviews.length === 0) return el("p", {}, t("noReviews"));
  const one = review => el("li", { class: "card" }, stars(review.stars), el("p", { class: "words-of" }, review.text),
    el("p", { class: "small" }, t("reviewAt", time(review.published_at)), review.edited && `, ${t("edited")}`),
    results && el("p", { class: results.get(review.review_id) ? "good" : "error" }, t(results.get(review.review_id) ? "inLedger" : "notInLedger")));
  return el("ul", { class: "reviews" }, reviews.map(one));
}

/** What the check of these reviews gave; drawn anew with the page, until other reviews are listed. */
let checked;

export async function shown(place, page) {
  const { about } = page;
  const [reviews, { stars: rating }] = await Promise.all([listing(about), json(`/reviews/rating/${about.merchant}`)]);
  const what = JSON.stringify(reviews);
  if (checked?.what !== what) checked = undefined;
  const get = async path => {
    const answer = await fetch(`/ledgers/reviews/${path}`, { credentials: "omit" });
    if (!answer.ok) throw new Error(`the ledger answers ${answer.status}`);
    return new Uint8Array(await answer.arrayBuffer());
  };
  const run = () => page.guarded(async () => {
    page.say(t("checking"));
    try {
      const { ledgers } = about.pins;
      checked = { what, found: await check({ log: ledgers.reviews, witness: about.witness, merchant: about.merchant, listed: reviews, get }) };
    } catch (error) {
      checked = { what, why: error.message };
    }
    await page.changed();
    page.say(verdict()[0]);
  });
  const verdict = () => {
    if (!checked.found) return [t("noCheck", checked.why)];
    const { entries, time: at, missing } = checked.found;
    return [t("checked", entries, time(at)), missing ? t("missing", missing) : t("noneMissing")];
  };
  const fixed = value => value.toFixed(1);
  put(place, el("p", {}, t("publicText")),
    rating && reviews.length > 0 && el("p", { class: "rating" }, t("rating", fixed(rating.value), fixed(rating.low), fixed(rating.high))),
    el("p", { class: "small" }, t("checkText")),
    el("button", { type: "button", id: "check", onclick: run }, t("check")),
    checked && el("div", { id: "verdict", class: checked.found && !checked.found.missing ? "good" : "error" }, verdict().map(words => el("p", {}, words))),
    reviewsOf(reviews, checked?.found?.results));
}

export async function gang(place) {
  const { reviews, rows, bindings, in_both } = await json("/demo/gang");
  const percent = chance => (100 * chance).toFixed(chance < 1 ? 1 : 0);
  const guess = ({ guess, candidates, chance, is_right }, at) => guess ? [
    el("p", {}, t("guess", guess.customer, guess.order, candidates.length, percent(chance))),
    is_right !== null && el("p", { class: is_right ? "error" : "good" }, t(is_right ? "right" : "wrong")),
    el("details", { id: `candidates-${at}` }, el("summary", {}, t("candidates", candidates.length)),
      el("ul", {}, candidates.map(({ order, customer }) => el("li", {}, `${customer} (${order})`)))),
  ] : t("noGuess");
  const naive = ({ naive, written }) => naive ? t("naive", naive.customer, naive.order, time(written)) : t("naiveUnknown");
  const row = (review, at) => [[stars(review.stars), el("p", { class: "words-of" }, review.text)], guess(review, at), naive(review)];
  const judged = reviews.filter(review => review.is_right !== null);
  const expected = judged.reduce((sum, review) => sum + review.chance, 0);
  put(place, el("p", {}, t("gangText")),
    el("ul", { class: "facts" }, el("li", {}, t("gangRows", rows.orders, rows.reviews, rows.phones)), el("li", {}, t("gangBoth", in_both)), el("li", {}, t("gangBindings", bindings))),
    reviews.length === 0 ? el("p", {}, t("noGang")) : [
      table(t("gangTitle"), ["colReview", "colGuess", "colNaive"].map(key => t(key)), reviews.map(row)),
      el("p", { class: "luck" }, t("luck", judged.filter(review => review.is_right).length, judged.length, expected.toFixed(1))),
      el("p", { class: "small" }, t("truth")),
    ]);
}

export async function officer(place, page) {
  const [{ needed, trustees, cases }, reviews] = await Promise.all([json("/demo/officer"), listing(page.about)]);
  const does = (path, body) => page.guarded(async () => {
    const { status, why } = await json(path, body);
    if (status !== 200) throw new Error(why);
    await page.changed();
  });
  const choose = el("select", { id: "evidence" }, reviews.map(review => el("option", { value: review.review_id }, `${review.stars}★ ${review.text}`)));
  const drawUp = event => {
    event.preventDefault();
    const { scope, review_id: review } = reviews.find(review => review.review_id === choose.value);
    does("/demo/officer/draw-up", { scope, review });
  };
  const said = ({ trustee, says, until, code, why }) => el("li", { class: says }, `${t("trustee", trustee)} ${t("says")[says]}`,
    until !== undefined && t("until", time(until)), code && [t("until", t("why")[code] ?? why), " ", el("code", {}, code)]);
  const shownCase = (one, at) => {
    const review = reviews.find(review => review.review_id === one.review);
    return el("li", { class: "card" }, el("h3", { id: `case-${at}`, tabindex: "-1" }, t("warrant", at + 1)),
      review && el("blockquote", {}, stars(review.stars), el("p", {}, review.text)),
      el("p", {}, t(one.is_logged ? "logged" : "notLogged")),
      el("div", { class: "buttons" },
        el("button", { type: "button", id: `log-${at}`, disabled: one.is_logged, onclick: () => does("/demo/officer/log", { case: at }) }, t("logIt")),
        el("button", { type: "button", id: `ask-${at}`, onclick: () => does("/demo/officer/ask", { case: at }) }, t("askThem"))),
      el("ul", { class: "said", role: "status" }, one.said.map(said)),
      one.opened && el("p", { class: "opened" }, t("opened", one.opened.customer ?? "?", one.opened.account, one.opened.bytes)));
  };
  put(place, el("p", {}, t("officerText", needed, trustees)),
    reviews.length === 0 ? el("p", {}, t("noEvidence"))
      : el("form", { class: "warrant", onsubmit: drawUp }, el("label", { for: "evidence" }, t("choose")), choose, el("button", { class: "main", id: "draw-up" }, t("drawUp"))),
    el("ol", { class: "cases" }, cases.map(shownCase)));
}
