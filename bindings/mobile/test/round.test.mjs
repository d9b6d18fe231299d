// The round of a language: node only sends, and moves the clock; the device is where the program is.
//
// UNJOIN_MOBILE_HOST: the program with its arguments, a JSON list.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { tests } from "../../round/tests.mjs";
import { remote } from "./remote.mjs";

const MOBILE = remote(...JSON.parse(process.env.UNJOIN_MOBILE_HOST));

// Before the platform ends.
after(() => MOBILE.end());
const get = tests(MOBILE);

test("Chinese and English words, and what a warning is about, come with the shapes of the package", async () => {
  const { shop, round } = get(), trust = await shop.trust();
  const device = await MOBILE.Device.open(round.blob, round.key, trust), [status] = await device.reviews(shop.now);
  assert.deepEqual([status.stage, status.words, status.wordsZh], ["withdrawn", "withdrawn", "已撤回"]);
  assert.deepEqual([status.promiseWords, status.promiseWordsZh], ["published, and in the ledger", "已发布，并已记入公开账本"]);
  const text = "𝕏 call 0049 151 1234567", { warnings } = await device.draftReview(round.handle, 1, text, [], shop.now);
  assert.ok(warnings.length > 0);
  for (const { start, end, passage } of warnings) assert.equal(text.slice(start, end), passage);
});
