import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { afterEach, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { EngineClient } from "../../src/engine/engine-client.ts";
import { GenerationError, type GenerationRequest, type QueuePlace } from "../../src/engine/generation.ts";
import {
  CountingObserver,
  createAssembler,
  createGenerationRequest,
  createProspect,
  pieceOf,
  RecordingSink,
} from "../support/engine-builders.ts";
import { eventually } from "../support/real-server.ts";

const entry = fileURLToPath(new URL("../support/fake-engine-child.js", import.meta.url));
const silent = { debug() {}, info() {}, warn() {}, error() {} };
/** Of the fake model. */
const MAX_NUM_SEQS = 16;

const clients: EngineClient[] = [];

async function startClient(
  stepMs: number,
  numBlocks = 512,
): Promise<{ client: EngineClient; observer: CountingObserver }> {
  const observer = new CountingObserver();
  const client = new EngineClient({
    limits: { maxQueuedSequences: 1000, maxQueuedTokens: 1e6 },
    keepsPrefixes: true,
    observer,
    createAssembler: () => createAssembler(),
    pieceOf,
    now: () => performance.now(),
    supervisor: {
      entry,
      settings: { stepMs, numBlocks },
      logger: silent,
      now: () => performance.now(),
      hangTimeoutMs: () => 60_000,
      maxFruitlessRestarts: 5,
    },
  });
  clients.push(client);
  await client.start();
  return { client, observer };
}

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close(0)));
});

/** Notes in `order` when each request has its first token. */
class StartSink extends RecordingSink {
  readonly #name: string;
  readonly #order: string[];

  constructor(name: string, order: string[]) {
    super();
    this.#name = name;
    this.#order = order;
  }

  override onDelta(delta: Parameters<RecordingSink["onDelta"]>[0]): void {
    if (this.deltas.length === 0) this.#order.push(this.#name);
    super.onDelta(delta);
  }
}

function prompt(index: number): GenerationRequest["prompts"] {
  return [
    { tokenIds: Array.from({ length: 20 }, (_, position) => 20 + ((index * 31 + position * 7) % 180)) },
  ];
}

describe("A tenant that floods the engine", () => {
  it("does not keep another's single requests from going next", async () => {
    const { client } = await startClient(1);
    const order: string[] = [];
    const send = (name: string, overrides: Partial<GenerationRequest>): RecordingSink => {
      const sink = new StartSink(name, order);
      client.generate(createGenerationRequest(overrides), sink);
      return sink;
    };
    const flood = Array.from({ length: 100 }, (_, index) =>
      send("flood", { prompts: prompt(index), maxTokens: 10 + (index % 7), tenantId: "flood" }),
    );
    for (let count = 0; count < 3; count += 1) {
      const numStarted = order.length;
      await send("single", { prompts: prompt(500 + count), maxTokens: 3, tenantId: "single" }).done;
      const numPassedBy = order.slice(numStarted).indexOf("single");
      assert.ok(
        numPassedBy >= 0 && numPassedBy <= 2 * MAX_NUM_SEQS,
        `${numPassedBy} of the flood went first`,
      );
    }
    assert.ok(order.length < 100, "the flood is not over by then");
    await Promise.all(flood.map((sink) => sink.done));
  });
});

describe("Deadlines", () => {
  /** Fills every row for as long as the test lasts. */
  async function fillRows(client: EngineClient): Promise<void> {
    for (let index = 0; index < MAX_NUM_SEQS; index += 1) {
      client.generate(
        createGenerationRequest({ prompts: prompt(index), maxTokens: 2000 }),
        new RecordingSink(),
      );
    }
    await eventually(() => Promise.resolve(client.stats().numRunning === MAX_NUM_SEQS));
  }

  it("drop what could not start in time, with an answer", async () => {
    const { client, observer } = await startClient(1);
    await fillRows(client);
    const sink = new RecordingSink();
    client.generate(createGenerationRequest({ prompts: prompt(99), targets: { ttftMs: 30 } }), sink);
    await sink.done;
    assert.equal(sink.error?.code, "deadline_exceeded");
    assert.ok(sink.error.retryAfterMs! >= 1000, "a queue gets shorter");
    assert.deepEqual(observer.refusals, ["deadline"]);
    assert.deepEqual(
      observer.finished.map(({ metTargets }) => metTargets),
      [false],
    );
    assert.equal(client.queue().numSequences, 0);
  });

  it("drop what has not ended in time, also when it runs, and free what it held", async () => {
    const { client, observer } = await startClient(1);
    const sink = new RecordingSink();
    const targets = { ttftMs: 200, totalMs: 400 };
    client.generate(createGenerationRequest({ prompts: prompt(1), maxTokens: 100_000, targets }), sink);
    await sink.done;
    assert.equal(sink.error?.code, "deadline_exceeded");
    assert.match(sink.error?.message ?? "", /before its end/);
    assert.equal(sink.error?.retryAfterMs, null, "it would take as long again");
    assert.ok(observer.finished[0]!.numGeneratedTokens > 0);
    assert.equal(observer.finished[0]!.metTargets, false);
    assert.deepEqual(observer.refusals, [], "it was let in");
    await eventually(() => Promise.resolve(client.stats().numRunning === 0));
  });

  it("of the first token end nothing that has started", async () => {
    const { client, observer } = await startClient(5);
    const sink = new RecordingSink();
    const targets = { ttftMs: 100 };
    client.generate(createGenerationRequest({ prompts: prompt(1), maxTokens: 60, targets }), sink);
    await sink.done;
    assert.equal(sink.error, null);
    assert.equal(observer.finished[0]!.numGeneratedTokens, 60);
  });

  it("refuse at once what cannot be met by prediction", async () => {
    const { client } = await startClient(20);
    const first = new RecordingSink();
    client.generate(createGenerationRequest({ prompts: prompt(0), maxTokens: 4 }), first);
    await first.done;
    await fillRows(client);
    const targets = { tpotMs: 1 };
    assert.throws(
      () => client.generate(createGenerationRequest({ prompts: prompt(99), targets }), new RecordingSink()),
      (error) => error instanceof GenerationError && error.code === "deadline_exceeded",
    );
  });

  it("are judged by the pace of the engine alone once the load is over", async () => {
    const { client } = await startClient(2);
    const generateAll = async (numStreams: number, tpotMs?: number): Promise<void> => {
      const sinks = Array.from({ length: numStreams }, () => new RecordingSink());
      const targets = tpotMs === undefined ? {} : { tpotMs };
      for (const [index, sink] of sinks.entries())
        client.generate(createGenerationRequest({ prompts: prompt(index), maxTokens: 40, targets }), sink);
      await Promise.all(sinks.map(({ done }) => done));
    };
    await generateAll(1);
    const alone = client.forecast(createProspect()).tpotMs;
    await generateAll(4 * MAX_NUM_SEQS);
    await eventually(() => Promise.resolve(client.stats().numRunning + client.stats().numWaiting === 0));
    const { tpotMs, ttftMs, alone: expected } = client.forecast(createProspect());
    assert.deepEqual([tpotMs, ttftMs], [expected.tpotMs, expected.ttftMs]);
    await generateAll(1, 3 * Math.max(alone, tpotMs));
  });

  it("are not put off by generations that wait for their readers", async () => {
    const { client } = await startClient(1);
    const generations = Array.from({ length: MAX_NUM_SEQS }, (_, index) =>
      client.generate(
        createGenerationRequest({ prompts: prompt(index), maxTokens: 2000 }),
        new RecordingSink(),
      ),
    );
    await eventually(() => Promise.resolve(client.stats().numRunning === MAX_NUM_SEQS));
    await sleep(100);
    assert.ok(client.forecast(createProspect()).queueMs > 0);
    for (const generation of generations) generation.pause();
    assert.equal(client.forecast(createProspect()).queueMs, 0);
    generations[0]!.resume();
    assert.equal(client.forecast(createProspect()).queueMs, 0, "the others still leave their rows");
    const sink = new RecordingSink();
    client.generate(createGenerationRequest({ prompts: prompt(9), maxTokens: 4 }), sink);
    await sink.done;
    assert.equal(sink.error, null, "and are no reason to refuse one");
  });

  it("are met or not by what was measured", async () => {
    const { client, observer } = await startClient(1);
    for (const totalMs of [60_000, undefined]) {
      const sink = new RecordingSink();
      const targets = totalMs === undefined ? {} : { totalMs };
      client.generate(createGenerationRequest({ prompts: prompt(1), targets }), sink);
      await sink.done;
    }
    assert.deepEqual(
      observer.finished.map(({ metTargets }) => metTargets),
      [true, null],
    );
  });

  it("waiting requests that ask hear of their place", async () => {
    // Memory for all that runs: what is interrupted would go first.
    const { client } = await startClient(1, 4096);
    await fillRows(client);
    const places: QueuePlace[] = [];
    const heard = new Promise<void>((resolve) => {
      for (const name of ["first", "second"]) {
        const sink = Object.assign(new RecordingSink(), {
          onQueued(place: QueuePlace) {
            places.push(place);
            if (name === "second") resolve();
          },
        });
        client.generate(createGenerationRequest({ prompts: prompt(name.length) }), sink);
      }
    });
    await heard;
    assert.deepEqual(
      places.map(({ position }) => position),
      [1, 2],
    );
    assert.ok(places.every(({ etaMs }) => Number.isFinite(etaMs) && etaMs >= 0));
  });
});
