import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { basename } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import type { RequestRecord } from "../../bench/load/request.ts";
import {
  contentionFindings,
  type Observed,
  type SideName,
} from "../../bench/scheduling/contention-findings.ts";
import { longestStallMs, outputTokensPerSecond, tokenGaps } from "../../bench/scheduling/decode-streams.ts";
import { atLeast, atMost, ratio, verdict } from "../../bench/scheduling/goal.ts";
import { killEngines } from "../../bench/scheduling/kill-engines.ts";
import { mean } from "../../bench/scheduling/mean.ts";
import { residentBytes } from "../../bench/scheduling/process-tree.ts";
import { computedPrefillTokens, growth, parseSamples, sampleSum } from "../../bench/scheduling/prometheus.ts";
import { PromptSource } from "../../bench/scheduling/prompt-source.ts";
import { defaultResultsFolder } from "../../bench/scheduling/results-folder.ts";
import { resultsTable } from "../../bench/scheduling/results-table.ts";
import type { ScenarioResult } from "../../bench/scheduling/scenario.ts";

describe("goals of the scheduling benchmarks", () => {
  it("are met at the limit and on its right side only", () => {
    assert.equal(verdict(atMost("a", 1.3, 1.3)), "pass");
    assert.equal(verdict(atMost("a", 1.31, 1.3)), "FAIL");
    assert.equal(verdict(atLeast("a", 0.8, 0.8)), "pass");
    assert.equal(verdict(atLeast("a", 0.79, 0.8)), "FAIL");
  });

  it("say so when there was nothing to measure", () => {
    assert.equal(verdict(atMost("a", null, 1)), "not measured");
    assert.equal(verdict(atLeast("a", Number.NaN, 1)), "not measured");
    assert.equal(ratio(1, 0), null);
    assert.equal(ratio(null, 2), null);
    assert.equal(mean([null]), null);
    assert.equal(mean([1, null, 3]), 2);
  });
});

const SCRAPE = `# HELP headway_kv_blocks KV blocks by state
# TYPE headway_kv_blocks gauge
headway_kv_blocks{state="free",engine="0"} 12
headway_kv_blocks{state="used",engine="0"} 3
vllm:iteration_tokens_total_sum{engine="0"} 500
headway_batch_sequences_sum{engine="0"} 140
up 1`;

describe("samples of a scrape", () => {
  const samples = parseSamples(SCRAPE);

  it("are summed by name and label", () => {
    assert.equal(sampleSum(samples, "headway_kv_blocks"), 15);
    assert.equal(sampleSum(samples, "headway_kv_blocks", 'state="used"'), 3);
    assert.equal(sampleSum(samples, "up"), 1);
    assert.equal(sampleSum(samples, "headway_kv"), null);
  });

  it("grow from nothing where a counter was not there before", () => {
    assert.equal(growth(new Map(), samples, ["up"]), 1);
    assert.equal(growth(samples, new Map(), ["up"]), null);
  });

  it("tell prefill from decode rows", () => {
    assert.equal(computedPrefillTokens(new Map(), samples), 360);
    assert.equal(computedPrefillTokens(new Map(), new Map()), null);
  });
});

function stream(chunkMs: number[], chunkTokens: number[]): RequestRecord {
  const outputTokens = chunkTokens.reduce((sum, count) => sum + count, 0);
  return { chunkMs, chunkTokens, outputTokens } as unknown as RequestRecord;
}

describe("gaps of decoding streams", () => {
  const streams = [stream([0, 10, 20, 120, 130], [1, 1, 1, 2, 1]), stream([5, 15, 500], [1, 1, 1])];
  const window = { startMs: 15, endMs: 130 };

  it("count by the token that ended them, inside the window only", () => {
    const gaps = tokenGaps(streams, window);
    assert.equal(gaps.count, 5);
    assert.equal(gaps.percentile(100), 50);
    assert.equal(tokenGaps(streams, window, gaps).count, 10);
  });

  it("show the longest silence between two chunks", () => {
    assert.equal(longestStallMs(streams, window), 100);
    assert.equal(longestStallMs(streams, { startMs: 0, endMs: 20 }), 10);
  });

  it("take no character that is held back until it is whole for a silence", () => {
    const beside = stream([0, 10, 20, 70, 120], [1, 1, 1, 1, 1]);
    assert.equal(longestStallMs([streams[0]!, beside], window), 50);
    const late = stream([0, 10, 20, 120, 130], [1, 1, 1, 1, 1]);
    assert.equal(longestStallMs([late, beside], window), 100, "one token that is late");
  });

  it("give a rate", () => {
    assert.equal(Math.round(outputTokensPerSecond(streams, window)), 43);
  });
});

describe("contention", () => {
  it("compares two servers with one that has the streams of both", () => {
    const at = (tokensPerSecond: number): Observed[] => [
      { tokensPerSecond, stepP50Ms: 1, stepP99Ms: 1, numThreads: 2 },
    ];
    const { goals } = contentionFindings(
      new Map<SideName, Observed[]>([
        ["all threads, alone", at(100)],
        ["all threads, alone with 16 streams", at(200)],
        ["two servers, together", at(150)],
      ]),
    );
    const goal = goals.find(({ claim }) => claim.includes("two servers"));
    assert.deepEqual([goal?.value, goal?.limit], [0.75, 0.8]);
  });
});

/** Stands for a server: its engine loads for a while, and it learns late that one has died. */
class FakeServer {
  #engine = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { stdio: "ignore" });
  #isHealthy = true;
  #isLoading = false;
  #numDeaths = 0;
  numKilledWhileLoading = 0;
  readonly http = createServer((request, response) => {
    const isHealth = request.url === "/health";
    response.writeHead(isHealth && !this.#isHealthy ? 503 : 200);
    response.end(isHealth ? "" : `headway_engine_restarts_total{engine="0"} ${this.#numDeaths}`);
  });

  enginePid(): number | null {
    if (this.#isLoading) this.numKilledWhileLoading += 1;
    this.#engine.once("exit", () => void this.#restart());
    return this.#engine.pid ?? null;
  }

  async #restart(): Promise<void> {
    this.#isLoading = true;
    this.#engine = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { stdio: "ignore" });
    await sleep(50);
    this.#isHealthy = false;
    this.#numDeaths += 1;
    await sleep(100);
    this.#isHealthy = true;
    this.#isLoading = false;
  }

  stop(): void {
    this.#engine.removeAllListeners("exit").kill("SIGKILL");
    this.http.close();
  }
}

describe("engine kills", () => {
  let fake: FakeServer;
  let url = "";
  let numReceived = 0;
  const plan = { numKills: 3, numReceived: () => (numReceived += 1), numExpected: 30 };

  before(async () => {
    fake = new FakeServer();
    await once(fake.http.listen(0, "127.0.0.1"), "listening");
    url = `http://127.0.0.1:${(fake.http.address() as AddressInfo).port}`;
  });

  after(() => fake.stop());

  it("count what came back, and spare an engine that loads", async () => {
    const server = { url, enginePid: () => fake.enginePid() };
    assert.equal(await killEngines(server, { ...plan, signal: new AbortController().signal }), 3);
    assert.equal(fake.numKilledWhileLoading, 0);
  });

  it("end with the load", async () => {
    const server = { url, enginePid: () => assert.fail("nothing is left to kill for") };
    const noMore = { ...plan, numReceived: () => 0, signal: AbortSignal.abort() };
    assert.equal(await killEngines(server, noMore), 0);
  });
});

describe("parts of the scheduling benchmarks", () => {
  it("prompts have the length asked for and repeat with their seed", () => {
    const first = new PromptSource([7, 8, 9], 1);
    const second = new PromptSource([7, 8, 9], 1);
    const prompt = first.next(40);
    assert.equal(prompt.length, 40);
    assert.deepEqual(prompt, second.next(40));
    assert.notDeepEqual(prompt, first.next(40));
  });

  it("memory of a process tree is at least that of its root", { skip: process.platform !== "linux" }, () => {
    assert.ok(residentBytes(process.pid) > 10 * 2 ** 20);
  });

  it("trial runs do not write over results that are kept", () => {
    const folder = (flags: string[] | null) => basename(defaultResultsFolder(flags));
    assert.equal(folder(["--model", "m.gguf", "--threads", "2"]), "scheduling");
    assert.equal(folder(["--model=m.gguf"]), "scheduling");
    assert.equal(folder([]), "trial");
    assert.equal(folder(["--quick", "--model", "m.gguf"]), "trial");
    assert.equal(folder(null), "scheduling");
  });

  it("results become a table that shows what failed and what a quick run is worth", () => {
    const result = {
      name: "churn",
      purpose: "what is left",
      date: "2026-01-02T03:04:05.000Z",
      machine: { cpu: "CPU", loadAverage: 0 },
      model: { file: "m.gguf" },
      settings: { isQuick: true, numThreads: 2 },
      rows: [{ side: "at the end", MiB: 123.4 }, { side: "later" }],
      goals: [atMost("blocks", 1, 0)],
    } as unknown as ScenarioResult;
    const table = resultsTable([result]);
    assert.match(table, /\| churn \| blocks \| 1 \| <= 0 \| FAIL \|/);
    assert.match(table, /\| later \| - \|/);
    assert.match(table, /mean nothing/);
  });
});
