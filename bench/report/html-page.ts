import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

import { packageFile } from "../../src/cli/package-file.ts";

export interface PageParts {
  title: string;
  /** Trusted HTML before and after the charts. */
  lead: string;
  tail?: string;
  /** What bench/report/page/report.js draws. */
  data: object;
}

const uplotFile = (name: string): string => createRequire(import.meta.url).resolve(`uplot/dist/${name}`);

/** One HTML file with styles, scripts and data inside: it opens from disk, by mail, without a network. */
export function htmlPage({ title, lead, tail = "", data }: PageParts): string {
  const read = (path: string): string => readFileSync(path, "utf8");
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(title)}</title>
<style>${read(uplotFile("uPlot.min.css"))}</style>
<style>${read(packageFile("bench/report/page/report.css"))}</style>
</head>
<body>
<main>
<h1>${escapeHtml(title)}</h1>
${lead}
<section id="charts"></section>
${tail}
</main>
<script>${read(uplotFile("uPlot.iife.min.js"))}</script>
<script>const REPORT = ${inlineJson(data)};</script>
<script>${read(packageFile("bench/report/page/report.js"))}</script>
</body>
</html>
`;
}

/** JSON that cannot end the script element it stands in, whatever a server put into its texts. */
function inlineJson(data: object): string {
  return JSON.stringify(data).replaceAll("<", "\\u003c");
}

export function escapeHtml(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}

/** A table that scrolls sideways on a narrow screen; the first row is the head. */
export function htmlTable(rows: readonly (readonly string[])[]): string {
  const [head = [], ...body] = rows;
  const cells = (row: readonly string[], tag: string): string =>
    row.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join("");
  const lines = body.map((row) => `<tr>${cells(row, "td")}</tr>`).join("\n");
  return `<div class="scroll"><table><thead><tr>${cells(head, "th")}</tr></thead><tbody>\n${lines}\n</tbody></table></div>`;
}
