import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { packageFile } from "../../../src/cli/package-file.ts";
import { configurationTable } from "../../../src/config/configuration-table.ts";

/** The formatter aligns the cells of a table; only what they say counts. */
function withoutAlignment(markdown: string): string {
  return markdown
    .replaceAll(/-{3,}/g, "---")
    .replaceAll(/ *\| */g, "|")
    .trim();
}

test("docs/configuration.md lists the options as they are", () => {
  const page = readFileSync(packageFile("docs/configuration.md"), "utf8");
  const section = /<!-- options -->([\s\S]*)<!-- \/options -->/.exec(page)?.[1] ?? "";
  assert.equal(withoutAlignment(section), withoutAlignment(configurationTable()), "run npm run docs");
});
