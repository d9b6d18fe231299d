// What needs no browser: the ledger's hashes and paths, both languages.

import assert from "node:assert/strict";
import { test } from "node:test";
import { bundlePath, hex, rootOf } from "../page/ledger.mjs";
import { TEXTS, languages } from "../page/words.mjs";

test("roots are those of RFC 6962", async () => {
  const leaves = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
  const entries = leaves.map(leaf => Uint8Array.from(leaf.match(/../g) ?? [], digits => parseInt(digits, 16)));
  // The roots of Certificate Transparency's own tests.
  const roots = {
    0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    7: "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
  };
  for (const [size, root] of Object.entries(roots)) assert.equal(hex(await rootOf(entries.slice(0, size))), root, size);
});

test("bundles of entries are where C2SP tlog-tiles has them", () => {
  assert.equal(bundlePath(0, 256), "tile/entries/000");
  assert.equal(bundlePath(7, 12), "tile/entries/007.p/12");
  assert.equal(bundlePath(1_234_067, 256), "tile/entries/x001/x234/067");
});

test("both languages say the same things", () => {
  const [first, ...others] = languages.map(language => TEXTS[language]);
  const shape = value => {
    if (Array.isArray(value)) return value.length;
    return typeof value === "object" ? Object.keys(value).sort() : typeof value;
  };
  for (const other of others) {
    assert.deepEqual(Object.keys(other), Object.keys(first));
    for (const key of Object.keys(first)) assert.deepEqual(shape(other[key]), shape(first[key]), key);
  }
});
