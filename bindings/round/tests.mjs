// The tests that every binding passes: a whole round against examples/service through examples/relay, what becomes of a
// seed alone, and bad input.

import { after, before, test } from "node:test";
import { bad_input } from "./bad_input.mjs";
import { start } from "./platform.mjs";
import { Round } from "./round.mjs";
import { Shop } from "./shop.mjs";

export function tests(unjoin) {
  const own = {};
  before(async () => {
    own.platform = await start();
    own.shop = await Shop.open(unjoin, own.platform);
    own.round = new Round(unjoin, own.shop);
  });
  after(() => own.platform?.end());

  test("a round: enrolled, granted, written, published, found in the ledger, withdrawn", async t => {
    await own.round.play();
    t.diagnostic(`milliseconds: ${JSON.stringify(own.round.figures())}`);
  });
  test("what becomes of a seed alone: the token again, and where the review stands", () => own.round.restore());
  bad_input(unjoin, () => own);
  return () => own;
}
