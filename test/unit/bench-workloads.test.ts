import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { gzipSync } from "node:zlib";

import { calibration } from "../../bench/load/calibrate.ts";
import { WORDS } from "../../bench/load/words.ts";
import { PromptWriter, UNCALIBRATED } from "../../bench/load/prompt-writer.ts";
import type { Session } from "../../bench/load/request.ts";
import { createSessions } from "../../bench/workloads/create-sessions.ts";
import { parseLength } from "../../bench/workloads/length-distribution.ts";
import { parsePrompts } from "../../bench/workloads/prompt-file.ts";
import { parseTenant } from "../../bench/workloads/tenants.ts";
import { parseTrace } from "../../bench/workloads/trace-sessions.ts";
import type { WorkloadOptions } from "../../bench/workloads/workload-options.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const OPTIONS: WorkloadOptions = {
  name: "random",
  seed: 1,
  inputTokens: { kind: "uniform", min: 10, max: 20 },
  outputTokens: { kind: "fixed", tokens: 7 },
  tenants: [],
  schema: null,
  prefixTokens: 50,
  numPrefixes: 2,
  turns: 3,
  thinkMs: 100,
  intruderEvery: 4,
  intruderTokens: 900,
  file: null,
  scaleLength: 1,
  scaleTime: 1,
  maxInputTokens: 1e6,
  maxOutputTokens: 1e6,
  useTraceTimes: true,
};

const folder = temporaryFolder();

function take(options: Partial<WorkloadOptions>, count: number): Session[] {
  const sessions: Session[] = [];
  for (const session of createSessions({ ...OPTIONS, ...options })) {
    sessions.push(session);
    if (sessions.length === count) break;
  }
  return sessions;
}

const inputTokens = ({ turns }: Session): number =>
  (turns[0]?.segments ?? []).reduce(
    (sum, segment) => sum + ("numTokens" in segment ? segment.numTokens : 0),
    0,
  );

describe("workloads", () => {
  it("are the same for the same seed and differ for another", () => {
    assert.deepEqual(take({}, 20), take({}, 20));
    assert.notDeepEqual(take({}, 20).map(inputTokens), take({ seed: 2 }, 20).map(inputTokens));
  });

  it("shared-prefix prompts begin with the text of one of the prefixes", () => {
    const writer = new PromptWriter(UNCALIBRATED, 9);
    const prompts = take({ name: "shared-prefix" }, 20).map(({ turns }) =>
      writer.write(turns[0]?.segments ?? []),
    );
    const prefixes = prompts.map((prompt) => prompt.split(" ").slice(0, 50).join(" "));
    assert.equal(new Set(prefixes).size, 2);
    assert.equal(new Set(prompts).size, 20);
  });

  it("conversations have their turns and pause", () => {
    const [session] = take({ name: "multi-turn" }, 1);
    assert.deepEqual([session?.turns.length, session?.thinkMs], [3, 100]);
  });

  it("every n-th request is an intruder", () => {
    const sessions = take({ name: "intruder" }, 8);
    assert.deepEqual(sessions.map(({ turns }) => turns[0]?.label).indexOf("intruder"), 3);
    assert.equal(inputTokens(sessions[7] as Session), 900);
  });

  it("tenants are drawn by weight", () => {
    const tenants = [
      { name: "big", weight: 3, key: "k" },
      { name: "small", weight: 1, key: null },
    ];
    const names = take({ tenants }, 400).map(({ turns }) => turns[0]?.tenant?.name);
    const numBig = names.filter((name) => name === "big").length;
    assert.ok(numBig > 250 && numBig < 350, `${numBig} of 400`);
  });
});

describe("prompt texts", () => {
  it("have the wanted number of tokens by the calibration, template included", () => {
    const measured = calibration(4 * 1.5 + 10, WORDS.length * 1.5 + 10);
    assert.deepEqual(measured, { tokensPerWord: 1.5, overheadTokens: 10, isMeasured: true });
    const text = new PromptWriter(measured, 1).write([{ seed: 1, numTokens: 160 }]);
    assert.equal(text.split(" ").length, 100);
  });

  it("change wholly with the text seed, so that no cache remembers them", () => {
    const write = (textSeed: number): string[] =>
      new PromptWriter(UNCALIBRATED, textSeed).write([{ seed: 1, numTokens: 300 }]).split(" ");
    const [a, b] = [write(1), write(2)];
    assert.ok(a.filter((word, index) => word === b[index]).length < 30);
  });

  it("stay uncalibrated where the server counts nothing", () => {
    assert.equal(calibration(null, 20), UNCALIBRATED);
    assert.equal(calibration(20, 20), UNCALIBRATED);
  });
});

describe("traces", () => {
  it("Azure's CSV gives times from the first row, scaled lengths and times", () => {
    const file = join(folder, "azure.csv.gz");
    const rows =
      "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.9951690,396,109\n";
    writeFileSync(file, gzipSync(rows));
    const sessions = [...createSessions({ ...OPTIONS, name: "trace", file, scaleLength: 0.5, scaleTime: 2 })];
    assert.deepEqual(sessions.map(inputTokens), [187, 198]);
    assert.deepEqual(
      sessions.map(({ turns }) => turns[0]?.maxTokens),
      [22, 55],
    );
    assert.deepEqual(
      sessions.map(({ atMs }) => Math.round(atMs ?? -1)),
      [0, 8630],
    );
  });

  it("Mooncake's equal block hashes become equal text, also when scaled and cut", () => {
    const file = join(folder, "mooncake.jsonl");
    const row = (timestamp: number, length: number, hashes: number[]) =>
      JSON.stringify({ timestamp, input_length: length, output_length: 10, hash_ids: hashes });
    writeFileSync(file, [row(0, 1500, [0, 1, 2]), row(3000, 1200, [0, 1, 3])].join("\n"));
    const options = { ...OPTIONS, name: "trace", file, scaleLength: 0.25, maxInputTokens: 300 } as const;
    const sessions = [...createSessions(options)];
    assert.deepEqual(sessions.map(inputTokens), [300, 300]);
    const writer = new PromptWriter(UNCALIBRATED, 1);
    const [a = "", b = ""] = sessions.map(({ turns }) => writer.write(turns[0]?.segments ?? []));
    const common = a.split(" ").findIndex((word, index) => word !== b.split(" ")[index]);
    assert.ok(common >= 256 && common < 262, `${common} common words`);
    assert.equal(sessions[1]?.atMs, 3000);
  });

  it("are replayed in the order of their times, whatever that of their rows", () => {
    const file = join(folder, "unordered.jsonl");
    writeFileSync(file, [3, 1, 2].map((at) => JSON.stringify({ at, prompt: `${at}` })).join("\n"));
    const sessions = [...createSessions({ ...OPTIONS, name: "trace", file })];
    assert.deepEqual(
      sessions.map(({ atMs, turns }) => [atMs, turns[0]?.segments]),
      [1, 2, 3].map((at) => [(at - 1) * 1000, [{ text: `${at}` }]]),
    );
  });

  it("our own lines name prompts, messages or lengths", () => {
    const lines = [
      '{"at":1.5,"prompt":"hi","max_tokens":3,"tenant":"a"}',
      '{"at":2,"messages":[{"role":"user","content":"x"}]}',
      '{"at":3,"input_tokens":40}',
    ];
    const rows = parseTrace(lines);
    assert.deepEqual(
      rows.map(({ atMs, outputTokens, tenant }) => [atMs, outputTokens, tenant]),
      [
        [1500, 3, "a"],
        [2000, null, null],
        [3000, null, null],
      ],
    );
    assert.throws(() => parseTrace(['{"prompt":"no time"}']), /'at' \(seconds\) is missing/);
    assert.throws(() => parseTrace(['{"at":1}']), /needs 'prompt'/);
    assert.throws(() => parseTrace(["a,b", "x,y,z"]), /line 2/);
  });
});

describe("prompt files", () => {
  it("may be lines, JSONL, a list or ShareGPT conversations", () => {
    const texts = (file: string) =>
      parsePrompts(file).map(({ segments, messages }) => segments[0] ?? messages);
    assert.deepEqual(texts("one\n\ntwo\n"), [{ text: "one" }, { text: "two" }]);
    assert.deepEqual(texts('{"prompt":"a"}\n{"messages":[]}'), [{ text: "a" }, []]);
    assert.deepEqual(
      texts('["a",{"conversations":[{"from":"gpt","value":"x"},{"from":"human","value":"b"}]}]'),
      [{ text: "a" }, { text: "b" }],
    );
    assert.throws(() => parsePrompts('[{"other":1}]'), /prompt 1/);
  });
});

describe("option values", () => {
  it("lengths", () => {
    assert.deepEqual(parseLength("128"), { kind: "fixed", tokens: 128 });
    assert.deepEqual(parseLength("64-256"), { kind: "uniform", min: 64, max: 256 });
    assert.deepEqual(parseLength("100~1.2"), { kind: "lognormal", median: 100, sigma: 1.2 });
    for (const bad of ["0", "9-3", "x", "-5", ""]) assert.throws(() => parseLength(bad), RangeError);
  });

  it("tenants, their keys from the environment", () => {
    assert.deepEqual(parseTenant("a:3:$KEY", { KEY: "secret" }), { name: "a", weight: 3, key: "secret" });
    assert.deepEqual(parseTenant("b", {}), { name: "b", weight: 1, key: null });
    assert.throws(() => parseTenant("a:3:$KEY", {}), /no KEY/);
    assert.throws(() => parseTenant("a:0", {}), RangeError);
  });
});
