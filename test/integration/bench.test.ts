import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it, mock } from "node:test";

import { benchCommand } from "../../bench/cli.ts";
import type { RequestRecord } from "../../bench/load/request.ts";
import type { BenchResult } from "../../bench/report/bench-result.ts";
import { FakeOpenAiServer, type FakeServerOptions } from "../support/fake-openai-server.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const folder = temporaryFolder();
let numRuns = 0;

interface Outcome {
  code: number;
  result: BenchResult & Record<string, number>;
  records: RequestRecord[];
  output: string;
  fake: FakeOpenAiServer;
}

/** Runs a bench command against a fake server of its own and reads what it wrote. */
async function bench(server: Partial<FakeServerOptions>, ...options: string[]): Promise<Outcome> {
  const fake = await FakeOpenAiServer.start({ ttftMs: 5, itlMs: 1, ...server });
  const [json, jsonl] = [join(folder, `${++numRuns}.json`), join(folder, `${numRuns}.jsonl`)];
  const log = mock.method(console, "log", () => {});
  try {
    const code = await benchCommand([
      "--url",
      fake.url,
      "--no-live",
      "--json",
      json,
      "--jsonl",
      jsonl,
      ...options,
    ]);
    const output = log.mock.calls.map((call) => String(call.arguments[0])).join("\n");
    const lines = readFileSync(jsonl, "utf8").trim().split("\n");
    const records = lines.map((line) => JSON.parse(line) as RequestRecord);
    return {
      code,
      result: JSON.parse(readFileSync(json, "utf8")) as Outcome["result"],
      records,
      output,
      fake,
    };
  } finally {
    log.mock.restore();
    await fake.stop();
  }
}

describe("headway bench against a server with known latencies", () => {
  it("reports them", async () => {
    const server = { ttftMs: 500, itlMs: 50, tokensPerWord: 1.25, overheadTokens: 7 };
    const { code, result, records, fake } = await bench(
      server,
      "--concurrency",
      "8",
      "--requests",
      "8",
      "--output-tokens",
      "11",
    );
    assert.equal(code, 0);
    // Against what the server's own timers made of it: on a busy machine they are late, and so are ours.
    const streams = fake.took.slice(2);
    const median = (values: number[]): number => values.toSorted((a, b) => a - b)[3] as number;
    const close = (found: number | undefined, known: number): void =>
      assert.ok(
        found !== undefined && Math.abs(found - known) < known * 0.1 + 20,
        `${found} ms, known ${known} ms`,
      );
    close(result.latency.ttft?.p50, median(streams.map(({ firstMs }) => firstMs)));
    close(result.latency.e2el?.p50, median(streams.map(({ lastMs }) => lastMs)));
    close(result.latency.tpot?.p50, median(streams.map(({ firstMs, lastMs }) => (lastMs - firstMs) / 10)));
    close(result.latency.itl?.p50, 50);
    assert.deepEqual([result["completed"], result["failed"], result["total_output_tokens"]], [8, 0, 88]);
    assert.ok(Math.abs((result["total_input_tokens"] as number) / 8 - 128) < 2);
    assert.ok(Math.abs(result.calibration.tokensPerWord - 1.25) < 0.005);
    assert.ok(
      records.every((record) => record.chunkMs.length === 11 && record.requestId?.startsWith("fake-")),
    );
    assert.equal(result.server.version, "1.2.3");
  });

  it("splits chunks of several tokens and finds the count without running usage", async () => {
    const options = ["--concurrency", "4", "--requests", "4", "--output-tokens", "12"];
    const running = await bench({ tokensPerChunk: 3, itlMs: 30 }, ...options);
    assert.deepEqual(running.records[0]?.chunkTokens, [3, 3, 3, 3]);
    assert.equal(running.result.latency.itl?.count, 4 * 9);
    const final = await bench({ tokensPerChunk: 3, usage: "final", spaced: true }, ...options);
    assert.equal(final.records[0]?.outputTokens, 12);
    assert.match(final.output, /other numbers of chunks than of tokens/);
    const logprobs = await bench(
      { tokensPerChunk: 3, usage: "none" },
      ...options,
      "--count-tokens",
      "logprobs",
    );
    assert.deepEqual(logprobs.records[0]?.chunkTokens, [3, 3, 3, 3]);
    assert.equal(logprobs.result.calibration.isMeasured, false);
  });

  it("spreads an open loop over worker processes on one schedule", async () => {
    const options = [
      "--rate",
      "100",
      "--requests",
      "40",
      "--output-tokens",
      "4",
      "--workers",
      "2",
      "--seed",
      "5",
    ];
    const { records, fake } = await bench({}, ...options);
    assert.deepEqual(
      records.map(({ index }) => index),
      Array.from({ length: 40 }, (_, index) => index),
    );
    assert.deepEqual(new Set(records.map(({ worker }) => worker)), new Set([0, 1]));
    assert.ok(records.every(({ sentMs, scheduledMs }) => sentMs >= scheduledMs));
    assert.equal(fake.seen.length, 42);
    const again = await bench({}, ...options);
    assert.deepEqual(
      again.records.map(({ scheduledMs }) => scheduledMs),
      records.map(({ scheduledMs }) => scheduledMs),
    );
  });

  it("breaks requests off and counts them apart", async () => {
    const options = [
      "--concurrency",
      "10",
      "--requests",
      "20",
      "--output-tokens",
      "50",
      "--cancel-share",
      "1",
    ];
    const { code, records, fake } = await bench({ itlMs: 20 }, ...options);
    assert.equal(code, 0);
    assert.ok(records.every(({ outcome }) => outcome === "cancelled"));
    // On a busy machine the server may have sent all to one that breaks off near its end.
    assert.ok(fake.numDisconnects >= 15 && fake.numDisconnects <= 20, `${fake.numDisconnects} disconnects`);
  });

  it("names failures by kind and fails when nothing succeeds", async () => {
    const options = ["--concurrency", "2", "--requests", "10", "--output-tokens", "3"];
    const kinds = async (failWith: FakeServerOptions["failWith"]): Promise<Set<string | null>> => {
      const { records } = await bench({ failEvery: 3, failWith }, ...options);
      return new Set(records.map(({ errorKind }) => errorKind));
    };
    assert.deepEqual(await kinds("status"), new Set(["http_503", null]));
    assert.deepEqual(await kinds("stream"), new Set(["stream_error", null]));
    assert.deepEqual(await kinds("cut"), new Set(["reset", null]));
    const none = await bench({ failEvery: 1 }, ...options, "--no-calibrate");
    assert.equal(none.code, 1);
    assert.match(none.output, /WARNING: 10 of 10 requests failed \(10 http_503: .*"busy"/);
  });

  it("continues conversations with the replies it got", async () => {
    const options = [
      "--workload",
      "multi-turn",
      "--turns",
      "3",
      "--requests",
      "3",
      "--concurrency",
      "1",
      "--output-tokens",
      "2",
    ];
    const { fake } = await bench({}, ...options);
    const third = fake.seen.at(-1)?.body.messages ?? [];
    assert.equal(third.length, 5);
    assert.equal(third[1]?.content, " word0 word1");
  });

  it("sends tenants' keys and judges conditions for CI", async () => {
    const tenants = [
      "--tenant",
      "a:1:key-a",
      "--tenant",
      "b:1:key-b",
      "--requests",
      "20",
      "--output-tokens",
      "2",
    ];
    const { fake, result, code } = await bench({}, ...tenants, "--fail-if", "errors>0, ttft.p50>1s");
    assert.equal(code, 0);
    assert.deepEqual(new Set(fake.seen.slice(2).map(({ key }) => key)), new Set(["key-a", "key-b"]));
    assert.equal(result.runs[0]?.fairness?.tenants.length, 2);
    const baseline = join(folder, `${numRuns}.json`);
    const slower = [
      "--requests",
      "10",
      "--output-tokens",
      "2",
      "--baseline",
      baseline,
      "--fail-if",
      "ttft.p50>2x",
    ];
    const worse = await bench({ ttftMs: 400 }, ...slower);
    assert.equal(worse.code, 3);
    assert.match(worse.output, /FAIL ttft\.p50>2x/);
  });

  it("counts a slow reader that breaks off as cancelled, also when all has been sent to it", async () => {
    const clients = ["--cancel-share", "0.5", "--slow-share", "1", "--slow-read-ms", "60"];
    const load = ["--requests", "24", "--concurrency", "24", "--output-tokens", "20"];
    const { records } = await bench({ itlMs: 2 }, ...load, ...clients);
    const outcomes = records.map(({ outcome }) => outcome);
    assert.ok(outcomes.includes("cancelled") && !outcomes.includes("error"), outcomes.join());
  });

  it("writes vLLM's arrays on request, all as long as the list of requests", async () => {
    const load = ["--requests", "6", "--concurrency", "2", "--output-tokens", "2", "--detailed"];
    const { result } = await bench({ failEvery: 4 }, ...load);
    const arrays = result as unknown as Record<string, unknown[]>;
    const failed = arrays["errors"]?.findIndex((text) => text !== "") ?? -1;
    assert.ok(failed >= 0);
    for (const name of [
      "input_lens",
      "output_lens",
      "ttfts",
      "itls",
      "latencies",
      "start_times",
      "queue_times",
    ])
      assert.equal(arrays[name]?.length, 6, name);
    assert.deepEqual([arrays["ttfts"]?.[failed], arrays["generated_texts"]?.[failed]], [0, ""]);
    assert.equal(arrays["generated_texts"]?.[failed === 0 ? 1 : 0], " word0 word1");
  });

  it("loads completions and embeddings too", async () => {
    const completions = await bench({}, "--api", "completions", "--requests", "4", "--output-tokens", "3");
    assert.equal(completions.records[0]?.outputTokens, 3);
    const embeddings = await bench({}, "--api", "embeddings", "--requests", "4");
    assert.deepEqual([embeddings.result.latency.ttft, embeddings.result.latency.e2el?.count], [null, 4]);
  });
});

describe("headway bench with options that make no sense", () => {
  before(() => mock.method(process.stderr, "write", () => true));
  after(() => mock.restoreAll());

  it("exits with 2 before it asks any server", async () => {
    const url = ["--url", "http://127.0.0.1:9"];
    for (const options of [
      ["--rate", "-1"],
      ["--slo", "speed=1"],
      ["--fail-if", "x>1"],
      ["--workload", "trace"],
      ["--workload", "prompts", "--file", join(folder, "nowhere.txt")],
      ["--fail-if", "ttft.p99>1.1x"],
      ["--warmup", "5", "--cooldown", "5", "--duration", "10"],
      ["--cooldown", "5"],
      ["--rate", "3", "--shape", "burst:2@1"],
      ["--nonsense"],
      ["search"],
    ]) {
      assert.equal(await benchCommand([...url, ...options]), 2, options.join(" "));
    }
  });

  it("exits with 1 where no server is", async () => {
    assert.equal(await benchCommand(["--url", "http://127.0.0.1:9"]), 1);
  });
});
