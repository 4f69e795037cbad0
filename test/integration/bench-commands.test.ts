import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it, mock } from "node:test";

import { benchCommand } from "../../bench/cli.ts";
import type { Comparison } from "../../bench/compare/compare-runs.ts";
import { FakeOpenAiServer } from "../support/fake-openai-server.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const folder = temporaryFolder();

/** The parts of the commands' JSON files that the tests look at. */
interface Document {
  comparisons: Comparison[];
  rate: number;
  confirmed: boolean;
  points: { level: number; summary: { counts: { completed: number } } }[];
}

describe("bench subcommands", () => {
  let fast: FakeOpenAiServer;
  let slow: FakeOpenAiServer;
  let printed = "";
  let shown = "";

  before(async () => {
    fast = await FakeOpenAiServer.start({ ttftMs: 10, itlMs: 1 });
    slow = await FakeOpenAiServer.start({ ttftMs: 300, itlMs: 1 });
    mock.method(console, "log", (text: string) => (printed += `${text}\n`));
    mock.method(process.stderr, "write", (text: string) => (shown += text));
  });

  after(async () => {
    mock.restoreAll();
    await fast.stop();
    await slow.stop();
  });

  async function run(...options: string[]): Promise<{ code: number; text: string; document: Document }> {
    printed = "";
    shown = "";
    const json = join(folder, "result.json");
    const code = await benchCommand([...options, "--json", json]);
    return { code, text: printed, document: JSON.parse(readFileSync(json, "utf8")) as Document };
  }

  it("compare finds the slower server and alternates the rounds", async () => {
    const load = ["--requests", "6", "--concurrency", "6", "--output-tokens", "3", "--repeat", "3"];
    const sides = ["--url", fast.url, "--url-b", slow.url, "--label-b", "slow"];
    const { code, text, document } = await run("compare", ...sides, ...load);
    assert.equal(code, 0);
    const ttft = document.comparisons.find(({ metric }) => metric === "ttft.p50");
    assert.equal(ttft?.verdict, "worse");
    assert.ok((ttft?.ratio ?? 0) > 2, `ratio ${ttft?.ratio}`);
    assert.match(text, /slow\/A/);
    // The same words for both servers, in the same rounds: only the two calibrations come in between.
    const prompts = (fake: FakeOpenAiServer) =>
      new Set(fake.seen.map(({ body }) => body.messages?.[0]?.content));
    assert.deepEqual(prompts(fast), prompts(slow));
  });

  it("show how far they are, unless told --no-live", async () => {
    const { isTTY } = process.stderr;
    process.stderr.isTTY = true;
    const load = ["--url", fast.url, "--duration", "0.5", "--output-tokens", "2"];
    const search = ["--max-rate", "40", "--from-rate", "40", "--confirm", "0", "--slo", "ttft=5000"];
    const commands = [
      ["curve", "--clients", "1"],
      ["compare", "--concurrency", "2", "--repeat", "2"],
      ["search", ...search],
    ];
    try {
      for (const command of commands) {
        await run(...command, ...load);
        assert.match(shown, /in flight/);
        await run(...command, ...load, "--no-live");
        assert.doesNotMatch(shown, /in flight/);
      }
    } finally {
      process.stderr.isTTY = isTTY;
    }
  });

  it("search stops at the highest allowed rate that meets the SLO, confirmed", async () => {
    const limits = ["--max-rate", "40", "--from-rate", "40", "--confirm", "1", "--slo", "ttft=5000"];
    const load = ["--url", fast.url, "--duration", "0.5", "--output-tokens", "2"];
    const { code, document } = await run("search", ...load, ...limits);
    assert.deepEqual([code, document.rate, document.confirmed], [0, 40, true]);
  });

  it("search says so when no rate meets it", async () => {
    const limits = ["--max-trials", "1", "--from-rate", "40", "--slo", "ttft=20"];
    const load = ["--url", slow.url, "--duration", "0.5", "--output-tokens", "2"];
    const { code, text } = await run("search", ...load, ...limits);
    assert.equal(code, 3);
    assert.match(text, /no rate met the SLO/);
  });

  it("curve measures every level", async () => {
    // The slow server: what a busy machine adds to its time does not matter.
    const load = ["--url", slow.url, "--clients", "1,4", "--duration", "1", "--output-tokens", "2"];
    const { code, document } = await run("curve", ...load, "--html", join(folder, "curve.html"));
    assert.equal(code, 0);
    const [one, four] = document.points;
    assert.deepEqual([one?.level, four?.level], [1, 4]);
    assert.ok((four?.summary.counts.completed ?? 0) > (one?.summary.counts.completed ?? 0));
  });

  it("all warn of a late client and keep keys out of their files", async () => {
    const load = ["--url", fast.url, "--requests", "6", "--output-tokens", "2", "--duration", "0.5"];
    const late = ["--max-lag", "0.0001", "--tenant", "a:1:secret-key", "--slo", "ttft=5000"];
    const commands = [
      ["compare", "--repeat", "2", "--url-b", fast.url],
      ["curve", "--clients", "2"],
      ["search", "--from-rate", "40", "--max-rate", "40", "--confirm", "0"],
    ];
    for (const command of commands) {
      const { text, document } = await run(...command, ...load, ...late);
      assert.match(text, /WARNING: the client was late/, command[0]);
      assert.match(JSON.stringify(document), /"name":"a"/, command[0]);
      assert.doesNotMatch(JSON.stringify(document), /secret-key/, command[0]);
    }
  });

  it("report makes the page again from the written files", async () => {
    const files = ["--json", join(folder, "r.json"), "--jsonl", join(folder, "r.jsonl")];
    const load = ["--requests", "4", "--output-tokens", "3", "--no-live"];
    assert.equal(await benchCommand(["--url", fast.url, ...load, ...files]), 0);
    const html = join(folder, "r.html");
    printed = "";
    assert.equal(await benchCommand(["report", ...files, "--html", html]), 0);
    assert.match(printed, /4 completed/);
    assert.match(readFileSync(html, "utf8"), /"kind":"run"/);
    assert.equal(await benchCommand(["report", "--json", join(folder, "result.json")]), 2);
  });
});
