import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
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

test("prints where, what and how much; SIGTERM lets running streams finish and leaves no process", async (t) => {
  const { child, url, printed, ended } = await startServer(t);
  assert.match(printed.stdout, /model +demo/);
  assert.match(printed.stdout, /backend +cpu/);
  assert.match(printed.stdout, /KV pool +\d+ blocks of \d+ tokens = \d+ tokens, [\d.]+ [KMG]iB/);
  assert.equal((await fetch(`${url}/health`)).status, 200);
  const descendants = descendantsOf(child.pid ?? 0);
  const stream = await startStream(url, 64);
  child.kill("SIGTERM");
  const text = await stream.text();
  assert.match(text, /"finish_reason":"length"/);
  assert.match(text, /data: \[DONE\]/);
  const { code, stderr } = await ended;
  assert.equal(code, 0, stderr);
  assert.deepEqual(
    descendants.filter((pid) => existsSync(`/proc/${pid}`)),
    [],
  );
});

test("a second signal stops at once", async (t) => {
  const { child, url, ended } = await startServer(t, ["--max-model-len", "2048"]);
  const stream = await startStream(url, 1900);
  child.kill("SIGTERM");
  await sleep(500);
  child.kill("SIGTERM");
  await stream.text().catch(() => "");
  assert.equal((await ended).code, 0);
});

test("a taken port and a missing model are one sentence and exit code 1", async (t) => {
  const { url } = await startServer(t);
  const mistakes: readonly [readonly string[], RegExp][] = [
    [["--port", new URL(url).port], /^headway: 127\.0\.0\.1:\d+ is in use by another program/m],
    [["--model", "./no-such.gguf"], /no-such\.gguf/],
    [["--model", "no-such-model"], /no-such-model/],
  ];
  for (const [args, message] of mistakes) {
    const { code, stderr } = await runHeadway(["serve", ...smallServer, ...args]);
    assert.equal(code, 1, stderr);
    assert.match(stderr, message);
    assert.doesNotMatch(stderr, /\n {4}at /);
  }
});

test("chat answers each line of a pipe through a running server", async (t) => {
  const { url } = await startServer(t);
  const { child, ended } = startHeadway(["chat", "--url", url, "--max-tokens", "8", "--temperature", "0"]);
  child.stdin?.end("Hello\nWho are you?\n");
  const { code, stdout, stderr } = await ended;
  assert.equal(code, 0, stderr);
  assert.equal(stdout.trim().split("\n").length >= 2, true, stdout);
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
