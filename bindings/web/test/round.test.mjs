// The round in node, and what only JavaScript can get wrong: numbers.

import assert from "node:assert/strict";
import { test } from "node:test";
import { refuses } from "../../round/bad_input.mjs";
import { seed } from "../../round/round.mjs";
import { tests } from "../../round/tests.mjs";
import { load } from "./package.mjs";

const WEB = await load(), get = tests(WEB);

test("numbers that are none are refused", async () => {
  const { shop } = get(), trust = await shop.trust();
  const device = WEB.Device.create(seed(), shop.pins.issuer, "account-3", trust);
  for (const time of [NaN, Infinity, 2 ** 60]) assert.ok(await refuses(() => device.next(time)));
  for (const shard of [-1, 0.5, 65_536, NaN]) assert.ok(await refuses(() => WEB.bundleQuestion(1_700_006_400, shard, 0)));
  assert.ok(await refuses(() => new WEB.Trust(shop.pins.platform_key, 2.5, "daily")));
  assert.ok(await refuses(() => new WEB.Trust(shop.pins.platform_key, 2, "hourly")));
});
