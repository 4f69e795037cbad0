import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import type { RunningServer } from "../../src/serve.ts";
import { eventually, readMetric, startRealServer } from "../support/real-server.ts";

const NUM_ROWS = 2;
/** More bytes than the buffers of two sockets hold. */
const STUCK_TOKENS = 3500;
const KEYS = ["key-of-ann", "key-of-bob"] as const;

interface Capacity {
  readonly max_model_len: number;
  readonly itl_target_ms: number;
  readonly kv: {
    readonly block_size: number;
    readonly num_blocks: number;
    readonly blocks: Record<string, number>;
  };
  readonly contexts: readonly { tokens: number; users: number; users_with_sharing: number }[];
  readonly prediction?: Record<string, number>;
  readonly admission?: {
    readonly accepted: boolean;
    readonly status?: number;
    readonly error?: { readonly reason: string };
  };
}

interface SequenceReport {
  readonly id: string;
  readonly tenant: string;
  readonly status: string;
  readonly blocks: number;
}

interface Debug {
  readonly running: readonly SequenceReport[];
  readonly waiting: readonly SequenceReport[];
  readonly tenants: readonly { tenant: string; service: number; blocks: number }[];
  readonly steps: readonly {
    step: number;
    calls: readonly { kind: string; rows: number; tokens: number }[];
  }[];
}

describe("what the scheduler tells and does, on the real engine", () => {
  let server: RunningServer;

  before(async () => {
    server = await startRealServer({
      "api-key": KEYS.join(","),
      "kv-memory": "32MiB",
      "max-model-len": "4096",
      "max-num-seqs": String(NUM_ROWS),
      "stream-buffer-soft": "1KiB",
      "slow-reader-timeout": "60s",
    });
  });

  after(async () => {
    await server.close(0);
  });

  const get = async (path: string, key: string | null = KEYS[0]): Promise<Response> =>
    fetch(`${server.url}${path}`, key === null ? {} : { headers: { authorization: `Bearer ${key}` } });
  const debug = async (): Promise<Debug> => (await (await get("/debug/scheduler")).json()) as Debug;

  /** A stream that runs until it is aborted or has written its tokens. */
  const stream = async (
    key: string,
    body: object,
    signal: AbortSignal | null = null,
  ): Promise<{ response: Response; stop: () => void }> => {
    const controller = new AbortController();
    signal?.addEventListener("abort", () => controller.abort());
    const response = await fetch(`${server.url}/v1/completions`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
      body: JSON.stringify({ prompt: "Once upon a time", stream: true, ignore_eos: true, ...body }),
      signal: controller.signal,
    });
    return { response, stop: () => controller.abort() };
  };

  const numSlowClients = async (): Promise<number> =>
    Number(/^headway_slow_clients (\d+)$/m.exec(await (await get("/metrics")).text())?.[1]);
  const idle = (): Promise<void> => eventually(async () => (await debug()).running.length === 0);

  it("asks for the key", async () => {
    for (const path of ["/capacity", "/debug/scheduler"]) assert.equal((await get(path, null)).status, 401);
  });

  it("GET /capacity: what fits, and what would become of a request", async () => {
    const capacity = (await (await get("/capacity")).json()) as Capacity;
    const { block_size: blockSize, num_blocks: numBlocks } = capacity.kv;
    assert.deepEqual(
      capacity.contexts.map(({ tokens }) => tokens),
      [1024, 2048, 4096],
    );
    for (const { tokens, users, users_with_sharing: shared } of capacity.contexts) {
      assert.equal(users, Math.min(NUM_ROWS, Math.floor(numBlocks / Math.ceil(tokens / blockSize))));
      assert.ok(shared >= users);
    }
    assert.ok(capacity.itl_target_ms > 0);
    assert.equal(capacity.prediction, undefined);
    const asked = (await (await get("/capacity?prompt_tokens=50&max_tokens=10")).json()) as Capacity;
    const prediction = asked.prediction ?? {};
    assert.equal(prediction["queue_position"], 1);
    assert.equal(prediction["queue_ms"], 0);
    // Known from the calibration, though nothing has been served yet.
    for (const key of ["ttft_ms", "tpot_ms", "total_ms"]) assert.ok(prediction[key]! > 0, key);
    for (const query of ["prompt_tokens=0", "prompt_tokens=x", "prompt_tokens=4096", "prompt_tokens=1&n=0"]) {
      assert.equal((await get(`/capacity?${query}`)).status, 400, query);
    }
  });

  it("GET /capacity: a deadline that the request could not keep either", async () => {
    const query = "prompt_tokens=500&max_tokens=500&deadline_ms=1";
    const answer = (await (await get(`/capacity?${query}`)).json()) as Capacity;
    const { accepted, status, error } = answer.admission!;
    assert.deepEqual([accepted, status, error?.reason], [false, 503, "deadline"]);
    const tokens = Array.from({ length: 500 }, (_, index) => 300 + index);
    const { response } = await stream(KEYS[0], { prompt: tokens, max_tokens: 500, deadline_ms: 1 });
    const sent = (await response.json()) as { error: { reason: string } };
    assert.deepEqual([response.status, sent.error.reason], [status, error?.reason]);
    assert.equal(response.headers.get("x-should-retry"), "false", "nothing is before it");
    assert.equal(response.headers.get("retry-after"), null);
    const roomy = (await (await get(`/capacity?${query}0000000`)).json()) as Capacity;
    assert.deepEqual(roomy.admission, { accepted: true });
  });

  it("GET /debug/scheduler: who runs, who waits, whose blocks, which steps; no word of a prompt", async () => {
    const streams = await Promise.all([
      stream(KEYS[0], { max_tokens: 1000 }),
      stream(KEYS[1], { max_tokens: 1000 }),
    ]);
    const waiting = stream(KEYS[1], { max_tokens: 1000, return_progress: true });
    await eventually(async () => (await debug()).waiting.length === 1);
    const response = await get("/debug/scheduler");
    const text = await response.text();
    assert.doesNotMatch(text, /Once|upon|key-of/);
    const report = JSON.parse(text) as Debug;
    assert.equal(report.running.length, NUM_ROWS);
    assert.equal(new Set(report.running.map(({ tenant }) => tenant)).size, 2);
    assert.ok(report.running.every(({ id, blocks }) => id.startsWith("cmpl-") && blocks > 0));
    assert.ok(report.tenants.every(({ service, blocks }) => service > 0 && blocks > 0));
    assert.ok(report.steps.length > 0 && report.steps.length <= 200);
    const numbers = report.steps.map(({ step }) => step);
    assert.deepEqual(
      numbers,
      numbers.toSorted((left, right) => left - right),
    );
    assert.ok(
      report.steps.some(({ calls }) => calls.some(({ kind, tokens }) => kind === "prefill" && tokens > 1)),
    );
    for (const { stop } of streams) stop();
    (await waiting).stop();
    await idle();
  });

  it("tells a waiting client its place, as comments before the answer", async () => {
    const controller = new AbortController();
    const load = Promise.allSettled(
      Array.from({ length: NUM_ROWS * 2 }, async () => {
        const { response } = await stream(KEYS[0], { max_tokens: 3500 }, controller.signal);
        // Whoever does not read gives up its row.
        await response.text();
      }),
    );
    await eventually(async () => (await debug()).waiting.length === NUM_ROWS);
    const { response } = await stream(KEYS[0], { max_tokens: 2, return_progress: true });
    const decoder = new TextDecoder();
    let text = "";
    for await (const bytes of response.body!) {
      text += decoder.decode(bytes as Uint8Array, { stream: true });
      if (text.includes(": queue")) controller.abort();
    }
    await load;
    assert.ok(text.endsWith("data: [DONE]\n\n"));
    const comments = text.split("\n").filter((line) => line.startsWith(":"));
    assert.ok(comments.length > 0);
    for (const line of comments) assert.match(line, /^: queue position=[1-9]\d* eta_ms=\d+$/);
    assert.ok(text.indexOf(comments.at(-1)!) < text.indexOf("data: "));
    await idle();
  });

  it("a reader that does not read is paused, gives its row to others, and loses nothing", async () => {
    const stuck = await openStuckStream(server.url);
    await eventually(async () => (await numSlowClients()) === 1, 30_000);
    await eventually(async () => (await debug()).running.every(({ status }) => status === "paused"));
    const others = await Promise.all([
      stream(KEYS[1], { max_tokens: 20 }),
      stream(KEYS[1], { max_tokens: 20 }),
    ]);
    for (const { response } of others) assert.ok((await response.text()).endsWith("data: [DONE]\n\n"));
    assert.ok((await readMetric(server.url, "vllm:num_preemptions_total")) > 0, "it gave up its row");
    const parked = (await debug()).waiting;
    assert.deepEqual(
      parked.map(({ status }) => status),
      ["paused"],
    );
    const text = await readToEnd(stuck);
    assert.equal(text.split('"top_logprobs":[').length - 1, STUCK_TOKENS, "every token came, once");
    assert.match(text, /"finish_reason":"length"/);
    await eventually(async () => (await numSlowClients()) === 0);
    await idle();
  });
});

/** Asks for many long chunks and never reads one. */
async function openStuckStream(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const body = JSON.stringify({
    messages: [{ role: "user", content: "Once upon a time" }],
    stream: true,
    ignore_eos: true,
    max_tokens: STUCK_TOKENS,
    logprobs: true,
    top_logprobs: 20,
    timings_per_token: true,
  });
  const socket = connect({ host: hostname, port: Number(port) });
  await new Promise<void>((resolve) => socket.once("connect", () => resolve()));
  socket.pause();
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nHost: ${hostname}:${port}\r\nAuthorization: Bearer ${KEYS[0]}\r\n` +
      `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
  return socket;
}

async function readToEnd(socket: Socket): Promise<string> {
  let text = "";
  socket.setEncoding("utf8");
  socket.on("data", (part) => {
    text += String(part);
  });
  socket.resume();
  await eventually(async () => text.includes("data: [DONE]"), 60_000);
  socket.destroy();
  return text;
}
