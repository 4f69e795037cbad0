import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { RunningServer } from "../../src/serve.ts";
import { eventually, readMetric, startRealServer } from "../support/real-server.ts";
import { openWebSocket } from "../support/ws-client.ts";

const NUM_ROWS = 2;

interface SequenceReport {
  readonly prompt_tokens: number;
  readonly computed_tokens: number;
  readonly blocks: number;
}

interface Debug {
  readonly running: readonly SequenceReport[];
  readonly num_waiting: number;
  readonly blocks: { readonly used: number; readonly free: number; readonly total: number };
}

/** Starts a request and returns what makes its client leave. */
type Start = (url: string, body: object) => Promise<() => void>;

const overHttp =
  (stream: boolean): Start =>
  async (url, body) => {
    const leaving = new AbortController();
    const answer = fetch(`${url}/v1/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ ...body, stream }),
      signal: leaving.signal,
    });
    answer.then((response) => response.text()).catch(() => {});
    return () => leaving.abort();
  };

const overWebSocket =
  (leave: "closes" | "cancels"): Start =>
  async (url, body) => {
    const client = await openWebSocket(url);
    client.send({ type: "start", id: "a", endpoint: "completions", body });
    if (leave === "closes") return () => client.terminate();
    return () => client.send({ type: "cancel", id: "a" });
  };

const clients: readonly (readonly [name: string, start: Start])[] = [
  ["HTTP, streamed", overHttp(true)],
  ["HTTP, whole", overHttp(false)],
  ["WebSocket, closed", overWebSocket("closes")],
  ["WebSocket, cancelled", overWebSocket("cancels")],
];

const tokens = (count: number): number[] => Array.from({ length: count }, (_, index) => 300 + (index % 1000));
const endless = { max_tokens: 1900, ignore_eos: true };

describe("a client that leaves", () => {
  let server: RunningServer;

  before(async () => {
    server = await startRealServer({
      "max-num-seqs": String(NUM_ROWS),
      // What is idle is free then, and every block that is not free is somebody's.
      "prefix-cache": false,
    });
  });

  after(async () => {
    await server.close(0);
  });

  const get = async <T>(path: string): Promise<T> => (await (await fetch(server.url + path)).json()) as T;
  const debug = (): Promise<Debug> => get("/debug/scheduler");
  const hasInFlight = async (count: number): Promise<boolean> =>
    (await get<{ server_load: number }>("/load")).server_load === count;

  /**
   * As soon as the server has let the call go, the engine, asked once, knows nothing of it: the abort reaches it before
   * the question, between two steps.
   */
  async function assertGone(numOthers: number): Promise<void> {
    await eventually(() => hasInFlight(numOthers));
    const { running, num_waiting: numWaiting, blocks } = await debug();
    assert.equal(running.length, numOthers * NUM_ROWS);
    assert.equal(numWaiting, 0);
    assert.equal(
      blocks.used,
      running.reduce((sum, sequence) => sum + sequence.blocks, 0),
    );
  }

  async function assertIdle(): Promise<void> {
    await eventually(async () => (await readMetric(server.url, "headway_kv_blocks", 'state="used"')) === 0);
    const total = (await debug()).blocks.total;
    assert.equal(await readMetric(server.url, "headway_kv_blocks", 'state="free"'), total);
    assert.equal(await readMetric(server.url, "vllm:num_requests_running"), 0);
    assert.equal(await readMetric(server.url, "vllm:num_requests_waiting"), 0);
  }

  for (const [name, start] of clients) {
    it(`while queued: ${name}`, async () => {
      const stopOthers = await overHttp(true)(server.url, { ...endless, prompt: "Once", n: NUM_ROWS });
      await eventually(async () => (await debug()).running.length === NUM_ROWS);
      const leave = await start(server.url, { ...endless, prompt: "Once" });
      await eventually(async () => (await debug()).num_waiting === 1);
      leave();
      await assertGone(1);
      stopOthers();
      await assertGone(0);
      await assertIdle();
    });

    it(`in prefill: ${name}`, async () => {
      const generatedBefore = await readMetric(server.url, "vllm:generation_tokens_total");
      // One after another, so that it lasts.
      const prompt = Array.from({ length: 10 }, () => tokens(1900));
      const leave = await start(server.url, { prompt, max_tokens: 0 });
      await eventually(async () =>
        (await debug()).running.some(
          (sequence) => sequence.computed_tokens < sequence.prompt_tokens && sequence.blocks > 0,
        ),
      );
      leave();
      await assertGone(0);
      await assertIdle();
      assert.equal(await readMetric(server.url, "vllm:generation_tokens_total"), generatedBefore);
    });

    it(`while decoding: ${name}`, async () => {
      const leave = await start(server.url, { ...endless, prompt: "Once", n: NUM_ROWS });
      await eventually(async () => {
        const { running } = await debug();
        return running.length > 0 && running.every((sequence) => sequence.computed_tokens > 10);
      });
      leave();
      await assertGone(0);
      await assertIdle();
    });
  }
});
