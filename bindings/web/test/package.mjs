// UNJOIN_WEB: where the package was built.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fail } from "../../round/platform.mjs";

export const BUILT = process.env.UNJOIN_WEB ?? fail("set UNJOIN_WEB to the directory of the package");

export async function load() {
  const module = await import(join(BUILT, "unjoin_web.js"));
  await module.default({ module_or_path: await readFile(join(BUILT, "unjoin_web_bg.wasm")) });
  return module;
}
