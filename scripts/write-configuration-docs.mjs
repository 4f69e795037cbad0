// Rewrites the tables of docs/configuration.md from the schema in src/config/.
import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { prepareOrExplain } from "./prepare.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const page = new URL("../docs/configuration.md", import.meta.url);

if (await prepareOrExplain(root)) {
  const { configurationTable } = await import("../dist/src/config/configuration-table.js");
  const markers = /(<!-- options -->\n)[\s\S]*(\n<!-- \/options -->)/;
  const text = readFileSync(page, "utf8");
  writeFileSync(
    page,
    text.replace(markers, (_, start, end) => `${start}\n${configurationTable()}\n${end}`),
  );
} else {
  process.exitCode = 1;
}
