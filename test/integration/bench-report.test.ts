import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { after, before, describe, it } from "node:test";

import { chromium, type Browser } from "playwright-core";

import { summarizeRun } from "../../bench/measure/run-summary.ts";
import { writeCurveReport } from "../../bench/report/curve-report.ts";
import { writeHtmlReport } from "../../bench/report/html-report.ts";
import { benchResultOf, steadyRun } from "../support/bench-results.ts";
import { recordOf } from "../support/simulated-load.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const executablePath = process.env["HEADWAY_TEST_BROWSER"] ?? "/usr/bin/chromium";
const skip = existsSync(executablePath)
  ? false
  : `no browser at ${executablePath}: install chromium or set HEADWAY_TEST_BROWSER`;

const folder = temporaryFolder();
const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

/** A run with everything a chart must cope with: a failure, a cancellation, a label that is HTML. */
function reportFile(): string {
  const records = [
    ...steadyRun(50),
    recordOf({
      index: 50,
      scheduledMs: 5000,
      endMs: 5200,
      outcome: "error",
      errorKind: "reset",
      label: "</script><b>",
    }),
    recordOf({ index: 51, scheduledMs: 5100, chunkMs: [5200], endMs: 5300, outcome: "cancelled" }),
    recordOf({ index: 52, scheduledMs: 5200, chunkMs: [5300, 5400], endMs: 5400, label: "</script><b>" }),
  ];
  const path = join(folder, "report.html");
  writeHtmlReport(path, benchResultOf(records), [records]);
  return path;
}

function curveFile(): string {
  const window = { warmupMs: 0, cooldownMs: 0, durationMs: null };
  const points = [1, 2, 4].map((level) => {
    const summary = summarizeRun({ records: steadyRun(50 * level), usage: [] }, window, null);
    return { level, unit: "clients", summary };
  });
  const path = join(folder, "curve.html");
  writeCurveReport(path, "curve", points);
  return path;
}

describe("the HTML report in a browser", { skip }, () => {
  let browser: Browser;
  before(async () => {
    browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
  });
  after(async () => browser?.close());

  const open = async (path: string) => {
    const page = await browser.newPage(PHONE);
    const problems: string[] = [];
    page.on("pageerror", (error) => problems.push(String(error)));
    page.on("console", (message) => (message.type() === "error" ? problems.push(message.text()) : undefined));
    page.on("request", (request) =>
      request.url().startsWith("file:") ? undefined : problems.push(request.url()),
    );
    await page.goto(pathToFileURL(path).href);
    return { page, problems };
  };

  it("draws every chart on a phone without scrolling sideways, errors or network", async () => {
    for (const [path, numCharts] of [
      [reportFile(), 6],
      [curveFile(), 3],
    ] as const) {
      const { page, problems } = await open(path);
      assert.deepEqual(problems, []);
      const canvases = await page.$$eval("canvas", (all) => all.map((canvas) => canvas.clientWidth));
      assert.equal(canvases.length, numCharts);
      assert.ok(
        canvases.every((width) => width > 300 && width <= 390),
        canvases.join(),
      );
      const [content, screen] = await page.evaluate<[number, number]>(
        "[document.documentElement.scrollWidth, innerWidth]",
      );
      assert.equal(content, screen);
      await page.close();
    }
  });

  it("shows the numbers of the result as text", async () => {
    const { page } = await open(reportFile());
    const text = await page.innerText("main");
    assert.match(text, /TTFT p50 \/ p99/);
    assert.match(text, /<\/script><b>/);
    await page.close();
  });
});

describe("the HTML report as a file", () => {
  it("holds styles, scripts and data itself and no text can end its script", () => {
    const html = readFileSync(reportFile(), "utf8");
    assert.doesNotMatch(html, /<(script|link)[^>]+(src|href)=/);
    assert.equal(html.match(/<\/script>/g)?.length, 3);
    assert.match(html, /uPlot/);
  });
});
