// The page for everybody: narrow screens, keyboards, screen readers, both languages, light and dark; and the strict policy.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { demo, launch, Profile } from "./demo.mjs";

const SCREENSHOTS = process.env.UNJOIN_SCREENSHOTS;
const VIEWS = ["phones", "portal", "public", "gang", "officer"];
let browser, running;

/** A demonstration with something in every view. */
before(async () => {
  [browser, running] = await Promise.all([launch(), demo()]);
  const profile = await Profile.open(browser, running), tab = await profile.tab();
  await tab.setUp(0);
  await tab.click("#phone-0-order");
  for (let day = 0; day < 7; day += 1) await tab.click("#day");
  await tab.see("officer");
  await tab.click("#draw-up");
  await tab.click("#ask-0");
  await profile.close();
});
after(async () => {
  await browser?.close();
  await running?.end();
});

/** Each profile is another phone of the same account; on one day only so many are enrolled, and the rest wait. */
const LATER = /status of 409/;

/** One phone whose code is to be written down, one with an order, and one that is not set up. */
async function furnished(options) {
  const profile = await Profile.open(browser, running, options), tab = await profile.tab();
  await tab.click("#phone-0-begin");
  await tab.setUp(1);
  await tab.click("#phone-1-order");
  return { profile, tab };
}

/** With everything that can be opened open. */
async function opened(tab) {
  await tab.page.evaluate(() => document.querySelectorAll("details").forEach(one => { one.open = true; }));
}

for (const [language, locale] of [["en", "en-GB"], ["zh", "zh-CN"]]) {
  test(`at 320 pixels nothing is wider than the screen (${language})`, async () => {
    const { profile, tab } = await furnished({ locale, viewport: { width: 320, height: 640 } });
    assert.equal(await tab.page.getAttribute("html", "lang"), language);
    for (const view of VIEWS) {
      await tab.see(view);
      await opened(tab);
      const wide = await tab.page.evaluate(() => {
        const width = document.documentElement.clientWidth;
        const beyond = [...document.body.querySelectorAll("*")].filter(one => {
          const box = one.getBoundingClientRect();
          return box.right > width + 0.5 && box.width > 1 && getComputedStyle(one).position !== "absolute" && !one.closest(".visually-hidden, thead, .skip");
        });
        return [document.documentElement.scrollWidth - width, ...beyond.map(one => `${one.tagName}#${one.id}.${one.className}`)];
      });
      assert.deepEqual(wide, [0], view);
    }
    await profile.close(LATER);
  });
}

test("everything has a name, a place and a language", async () => {
  const { profile, tab } = await furnished();
  for (const view of VIEWS) {
    await tab.see(view);
    await opened(tab);
    const found = await tab.page.evaluate(() => {
      const wrong = [], all = selector => [...document.querySelectorAll(selector)];
      const named = one => (one.getAttribute("aria-label") ?? one.textContent).trim() !== "" || [...one.querySelectorAll("img")].some(image => image.alt);
      for (const one of all("input, select, textarea")) if (![...one.labels].some(named) && !one.getAttribute("aria-label")) wrong.push(`no label: #${one.id}`);
      for (const one of all("button, a, summary")) if (!named(one)) wrong.push(`no name: ${one.outerHTML}`);
      for (const one of all("img")) if (!one.hasAttribute("alt")) wrong.push("an image without alt");
      for (const one of all("[aria-labelledby], [aria-describedby]")) {
        const ids = `${one.getAttribute("aria-labelledby") ?? ""} ${one.getAttribute("aria-describedby") ?? ""}`.trim().split(/\s+/);
        for (const id of ids) if (!document.getElementById(id)) wrong.push(`nothing is called ${id}`);
      }
      const ids = all("[id]").map(one => one.id);
      for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) wrong.push(`twice: ${id}`);
      const levels = all("h1, h2, h3, h4").map(one => Number(one.tagName[1]));
      levels.forEach((level, at) => { if (level > (levels[at - 1] ?? 0) + 1) wrong.push(`a heading of level ${level} too deep`); });
      if (levels.filter(level => level === 1).length !== 1) wrong.push("not one first heading");
      for (const one of ["main", "header", "footer", "nav[aria-label]", "[role=status]"]) if (all(`body ${one}`).length === 0) wrong.push(`no ${one}`);
      if (all("main").length !== 1 || all("[tabindex]").some(one => one.tabIndex > 0)) wrong.push("main, or the order of the keyboard");
      for (const table of all("table")) if (!table.caption || !table.querySelector("th[scope]")) wrong.push("a table without caption or headings");
      for (const one of all("fieldset")) if (!one.querySelector("legend")) wrong.push("a group without a name");
      if (all("nav [aria-current=page]").length !== 1) wrong.push("where one is");
      return wrong;
    });
    assert.deepEqual(found, [], view);
  }
  await tab.click("#language");
  assert.equal(await tab.page.getAttribute("html", "lang"), "zh");
  assert.equal(await tab.text("#title"), "办案人员的视图");
  await tab.reload();
  assert.equal(await tab.page.getAttribute("html", "lang"), "zh", "the choice is remembered");
  await profile.close(LATER);
});

for (const colorScheme of ["light", "dark"]) {
  test(`all text stands out from what is behind it (${colorScheme})`, async () => {
    const { profile, tab } = await furnished({ colorScheme });
    for (const view of VIEWS) {
      await tab.see(view);
      await opened(tab);
      const { faint, seen } = await tab.page.evaluate(() => {
        const parts = colour => colour.match(/[\d.]+/g).map(Number);
        const linear = part => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4);
        const light = ([red, green, blue]) => 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
        const behind = one => {
          for (let at = one; at; at = at.parentElement) {
            const [red, green, blue, alpha = 1] = parts(getComputedStyle(at).backgroundColor);
            if (alpha === 1) return [red, green, blue];
          }
          return [255, 255, 255];
        };
        const faint = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        let seen = 0;
        for (let node = walker.nextNode(); node; node = walker.nextNode()) {
          const one = node.parentElement, style = getComputedStyle(one);
          const isIdle = one.closest(":disabled, [aria-disabled], noscript, option, .visually-hidden, .skip");
          if (!node.data.trim() || isIdle || !one.checkVisibility()) continue;
          const [dark, bright] = [light(parts(style.color)), light(behind(one))].sort((a, b) => a - b);
          const contrast = (bright + 0.05) / (dark + 0.05);
          seen += 1;
          if (contrast < 4.5) faint.push(`${contrast.toFixed(2)} ${node.data.trim().slice(0, 40)}`);
        }
        return { faint, seen };
      });
      assert.deepEqual(faint, [], view);
      assert.ok(seen > 20, `${view}: ${seen} texts`);
    }
    await profile.close(LATER);
  });
}

test("the keyboard reaches everything in the order in which it stands, and one sees where it is", async () => {
  const { profile, tab } = await furnished();
  const { page } = tab;
  await page.reload();
  await tab.settled();
  const expected = await page.evaluate(() => {
    const all = [...document.querySelectorAll("a[href], button:not(:disabled), input, select, textarea, summary")];
    return all.filter(one => one.checkVisibility() && !(one.type === "radio" && !one.checked)).map(one => one.id || one.textContent);
  });
  const reached = [];
  for (let step = 0; step < expected.length; step += 1) {
    await page.keyboard.press("Tab");
    const { name, outline } = await page.evaluate(() => {
      const one = document.activeElement, style = getComputedStyle(one);
      return { name: one.id || one.textContent, outline: style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth) };
    });
    assert.ok(outline >= 2, `${name} is not seen`);
    reached.push(name);
  }
  assert.deepEqual(reached, expected);
  // By keyboard alone: to a view, whose heading is read then, and an order, whose button keeps the focus.
  await page.focus("#to-portal");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.activeElement.id === "title" && document.activeElement.textContent === "The shop’s portal");
  await page.focus("#to-phones");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelector("#view").dataset.view === "phones" && document.activeElement.id === "title");
  await tab.settled();
  await page.focus("#phone-1-order");
  await page.keyboard.press("Space");
  await page.waitForFunction(() => /Ordered/.test(document.getElementById("said").textContent));
  await tab.settled();
  assert.equal(await page.evaluate(() => document.activeElement.id), "phone-1-order");
  await profile.close(LATER);
});

test("the policy lets nothing be loaded, run or sent that does not belong to the page", async () => {
  const { profile, tab } = await furnished();
  const policy = await (await fetch(running.page)).headers.get("content-security-policy");
  assert.match(policy, /^default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; /);
  assert.ok(!policy.includes("'unsafe-inline'") && !policy.includes("'unsafe-eval'"));
  assert.deepEqual(profile.wrongs.filter(wrong => !LATER.test(wrong)), [], "the page itself");
  await tab.page.evaluate(async () => {
    const script = document.createElement("script");
    try { script.textContent = "window.ran = true"; } catch { window.refusedText = true; }
    document.body.append(script);
    document.body.setAttribute("style", "color: red");
    await fetch("http://elsewhere.example/").catch(() => {});
    try { document.body.innerHTML += "<b>x</b>"; } catch { window.refusedHtml = true; }
  });
  await tab.page.waitForTimeout(0);
  const [ran, text, html] = await tab.page.evaluate(() => [window.ran, window.refusedText, window.refusedHtml]);
  assert.deepEqual([ran, text, html], [undefined, true, true]);
  const directives = profile.wrongs.filter(wrong => wrong.startsWith("policy: ")).map(wrong => wrong.split(" ")[1]);
  for (const directive of ["connect-src", "style-src-attr", "require-trusted-types-for"]) assert.ok(directives.includes(directive), `${directive}: ${directives}`);
  await profile.close(LATER, /policy|Policy|TrustedScript|TrustedHTML/);
});

test("pictures", { skip: !SCREENSHOTS && "set UNJOIN_SCREENSHOTS" }, async () => {
  const dark = { colorScheme: "dark", locale: "zh-CN", viewport: { width: 390, height: 760 }, deviceScaleFactor: 1.25 };
  const profile = await Profile.open(browser, running, dark), tab = await profile.tab("gang");
  await tab.settled();
  await tab.page.screenshot({ path: `${SCREENSHOTS}/demo-gang-zh.png` });
  await profile.close();
});
