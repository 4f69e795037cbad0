import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { llamaKeys, u32, writeGguf } from "../support/gguf-writer.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { runHeadway, startHeadway, whenPrinted, type HeadwayProcess } from "../support/run-headway.ts";

const smallServer = [
  "--model",
  "demo",
  "--port",
  "0",
  "--backend",
  "cpu",
  "--threads",
  "1",
  "--log-level",
  "warn",
];

interface RunningHeadway extends HeadwayProcess {
  readonly url: string;
}

async function startServer(t: TestContext, args: readonly string[] = []): Promise<RunningHeadway> {
  const headway = startHeadway(["serve", ...smallServer, ...args]);
  t.after(() => headway.child.kill("SIGKILL"));
  await Promise.race([whenPrinted(headway, "curl"), headway.ended]);
  const url = /listening +(\S+)/.exec(headway.printed.stdout)?.[1];
  assert.ok(url, `no banner: ${headway.printed.stdout}${headway.printed.stderr}`);
  return { ...headway, url };
}

/** Process ids of the children of a process and of theirs, on Linux; elsewhere none are known. */
function descendantsOf(pid: number): number[] {
  const tasks = `/proc/${pid}/task`;
  if (!existsSync(tasks)) return [];
  const children = readdirSync(tasks).flatMap((task) => {
    return readFileSync(`${tasks}/${task}/children`, "utf8").trim().split(" ").filter(Boolean).map(Number);
  });
  return children.flatMap((child) => [child, ...descendantsOf(child)]);
}

function isRunning(pid: number): boolean {
  return existsSync(`/proc/${pid}`);
}

function startStream(url: string, maxTokens: number): Promise<Response> {
  return fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      model: "demo",
      stream: true,
      max_tokens: maxTokens,
      ignore_eos: true,
      messages: [{ role: "user", content: "Tell me a story." }],
    }),
  });
}

test("a running server: banner, mistakes beside it, chat with it, and a drain", async (t) => {
  const { child, url, printed, ended } = await startServer(t);
  await t.test("the banner says where, what and how much", () => {
    assert.match(printed.stdout, /model +demo/);
    assert.match(printed.stdout, /backend +cpu/);
    assert.match(printed.stdout, /KV pool +\d+ blocks of \d+ tokens = \d+ tokens, [\d.]+ [KMG]iB/);
  });
  await t.test("a second server on the port is refused in one sentence", async () => {
    const { code, stderr } = await runHeadway(["serve", ...smallServer, "--port", new URL(url).port]);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /^headway: 127\.0\.0\.1:\d+ is in use by another program; choose another with --port\n$/,
    );
  });
  await t.test("chat answers each line of a pipe", async () => {
    const chat = startHeadway(["chat", "--url", url, "--max-tokens", "8", "--temperature", "0"]);
    chat.child.stdin?.end("Hello\nWho are you?\n");
    const { code, stdout, stderr } = await chat.ended;
    assert.equal(code, 0, stderr);
    assert.ok(stdout.trim().split("\n").length >= 2, stdout);
  });
  await t.test("SIGTERM lets running streams finish and leaves no process", async () => {
    const descendants = descendantsOf(child.pid ?? 0);
    const stream = await startStream(url, 64);
    child.kill("SIGTERM");
    const text = await stream.text();
    assert.match(text, /"finish_reason":"length"/);
    assert.match(text, /data: \[DONE\]/);
    const { code, stderr } = await ended;
    assert.equal(code, 0, stderr);
    assert.deepEqual(descendants.filter(isRunning), []);
  });
});

test("a second signal stops at once", async (t) => {
  const { child, url, ended } = await startServer(t);
  const descendants = descendantsOf(child.pid ?? 0);
  const stream = await startStream(url, 1900);
  child.kill("SIGTERM");
  await sleep(500);
  child.kill("SIGTERM");
  await stream.text().catch(() => "");
  assert.equal((await ended).code, 0);
  assert.deepEqual(descendants.filter(isRunning), []);
});

test("a model that is not there is one sentence and exit code 1", async () => {
  for (const model of ["./no-such.gguf", "no-such-model"]) {
    const { code, stderr } = await runHeadway(["serve", ...smallServer, "--model", model]);
    assert.equal(code, 1);
    assert.match(stderr, /^headway: .*no-such.*\n$/);
  }
  const { stderr } = await runHeadway(["serve", "./no-such.gguf", "--port", "0"]);
  assert.match(stderr, /^headway: .*no-such.*\n$/, "the model without --model");
});

/** A llama model of 4 TiB, by what the file says and by its length; the disk holds a few pages of it. */
function hugeModel(): string {
  const width = 2 ** 16;
  const layers = Array.from({ length: 64 }, (_, layer) => ({
    name: `blk.${layer}.ffn_up.weight`,
    shape: [width, 4 * width],
    offset: layer * 16 * width * width,
    data: Buffer.alloc(0),
  }));
  const keys = llamaKeys({
    "llama.block_count": u32(layers.length),
    "llama.embedding_length": u32(width),
    "llama.feed_forward_length": u32(4 * width),
  });
  const path = join(temporaryFolder(), "huge.gguf");
  writeFileSync(path, writeGguf({ keys, tensors: layers }));
  truncateSync(path, statSync(path).size + layers.length * 16 * width * width);
  return path;
}

test("a model or a pool that is too large is one sentence and exit code 1, before anything is served", async () => {
  const cases: [string[], RegExp][] = [
    [
      ["--model", hugeModel()],
      /^headway: The model's weights need 4096\.00 GiB, but only [\d.]+ \S+ of .* are free\.\n$/,
    ],
    [
      ["--kv-memory", "1MiB", "--max-model-len", "2048"],
      /^headway: One request of 2048 tokens needs .+ would fit\.$/m,
    ],
  ];
  for (const [args, sentence] of cases) {
    const { code, signal, stdout, stderr } = await runHeadway(["serve", ...smallServer, ...args]);
    assert.deepEqual([code, signal], [1, null], stderr);
    assert.match(stderr, sentence);
    assert.equal(stderr.split("headway: ").length, 2);
    assert.doesNotMatch(stderr, /^ +at /m);
    assert.equal(stdout, "");
  }
});

test("chat starts a server of its own and closes it", async () => {
  const { child, ended } = startHeadway(["chat", "--model", "demo", "--max-tokens", "8"], {
    HEADWAY_BACKEND: "cpu",
    HEADWAY_THREADS: "1",
    // Nothing listens there, so no other server is found.
    HEADWAY_PORT: "9",
  });
  child.stdin?.end("Hello\n");
  const { code, stdout, stderr } = await ended;
  assert.equal(code, 0, stderr);
  assert.match(stderr, /starting one for this chat/);
  assert.ok(stdout.trim().length > 0);
});
