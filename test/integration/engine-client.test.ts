import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { setTimeout as sleep } from "node:timers/promises";
import { after, afterEach, describe, it } from "node:test";
import { FakeModelRunner } from "../../models/fake-model-runner.ts";
import { EngineClient } from "../../src/engine/engine-client.ts";
import { EngineStartError } from "../../src/engine/engine-supervisor.ts";
import { GenerationError, type GenerationRequest } from "../../src/engine/generation.ts";
import {
  CountingObserver,
  createAssembler,
  createGenerationRequest,
  createProspect,
  pieceOf,
  RecordingSink,
} from "../support/engine-builders.ts";
import { POISON_TOKEN, type FakeEngineSettings } from "../support/fake-engine-child.ts";

const entry = fileURLToPath(new URL("../support/fake-engine-child.js", import.meta.url));
const silent = { debug() {}, info() {}, warn() {}, error() {} };

interface Setup {
  readonly client: EngineClient;
  readonly observer: CountingObserver;
}

const clients: EngineClient[] = [];

function createClient(settings: Partial<FakeEngineSettings> = {}, maxQueuedSequences = 100): Setup {
  const observer = new CountingObserver();
  const client = new EngineClient({
    limits: { maxQueuedSequences, maxQueuedTokens: 1e6 },
    keepsPrefixes: true,
    observer,
    createAssembler: () => createAssembler(),
    pieceOf,
    now: () => performance.now(),
    supervisor: {
      entry,
      settings: { stepMs: 1, numBlocks: 512, ...settings },
      logger: silent,
      now: () => performance.now(),
      hangTimeoutMs: () => 60_000,
      maxFruitlessRestarts: 5,
    },
  });
  clients.push(client);
  return { client, observer };
}

/** Distinct prompts, so that nothing is shared. */
function createPrompt(index: number, length = 40): number[] {
  return Array.from({ length }, (_, position) => 1 + ((index * 31 + position * 7) % 200));
}

/** What the fake model answers to a prompt, computed here without any engine. */
function expectedTokens(prompt: readonly number[], numTokens: number): number[] {
  const runner = new FakeModelRunner({ meanTokensToEog: Infinity });
  const tokens = [...prompt];
  const sequence = {
    requestId: "x",
    seqId: 0,
    tokens,
    numPromptTokens: prompt.length,
    sampling: { ...createGenerationRequest().sampling, choiceIndex: 0 },
  };
  for (let start = 0; tokens.length < prompt.length + numTokens;) {
    const numRowTokens = tokens.length - start;
    const row = { sequence, start, numTokens: numRowTokens, logits: "last", sample: true } as const;
    const { samples } = runner.execute({ kind: "prefill", rows: [row], numTokens: numRowTokens });
    start = tokens.length;
    tokens.push(samples[0]!.tokenId);
  }
  return tokens.slice(prompt.length);
}

function run(client: EngineClient, overrides: Partial<GenerationRequest>): RecordingSink {
  const sink = new RecordingSink();
  client.generate(createGenerationRequest(overrides), sink);
  return sink;
}

async function until(condition: () => boolean, timeoutMs = 10_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!condition()) {
    assert.ok(performance.now() < deadline, "condition not met in time");
    await sleep(2);
  }
}

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close(0)));
});

after(() => {
  assert.equal(clients.length, 0);
});

describe("EngineClient", () => {
  it("streams the tokens of many generations", async () => {
    const { client, observer } = createClient();
    await client.start();
    const prompts = Array.from({ length: 20 }, (_, index) => createPrompt(index));
    const sinks = prompts.map((tokenIds) => run(client, { prompts: [{ tokenIds }], maxTokens: 30 }));
    await Promise.all(sinks.map((sink) => sink.done));
    for (const [index, sink] of sinks.entries()) {
      assert.deepEqual(sink.tokenIds(), expectedTokens(prompts[index]!, 30));
      assert.equal(sink.ends[0]?.finishReason, "length");
      assert.equal(sink.summary?.numGeneratedTokens, 30);
      assert.ok(sink.summary.e2eMs >= sink.summary.ttftMs!);
    }
    assert.equal(observer.numAccepted, 20);
    assert.equal(observer.finished.length, 20);
  });

  it("computes a prompt once for its n choices and counts it once", async () => {
    const { client } = createClient();
    await client.start();
    const prompt = createPrompt(1, 100);
    const sink = run(client, { prompts: [{ tokenIds: prompt }], numChoices: 4, maxTokens: 5 });
    await sink.done;
    assert.equal(sink.ends.length, 4);
    assert.equal(sink.summary?.numPromptTokens, 100);
    assert.equal(sink.summary.numCachedTokens, 0, "the first choice had nothing to share");
    // 6 full blocks of 16 are shared; the other choices each compute what is left.
    assert.equal(client.stats().numPromptTokensComputed, 100 + 3 * 4);
  });

  it("goes on where it was when the engine is killed", async () => {
    const { client, observer } = createClient({ stepMs: 3 });
    await client.start();
    const prompts = Array.from({ length: 8 }, (_, index) => createPrompt(index));
    const sinks = prompts.map((tokenIds) => run(client, { prompts: [{ tokenIds }], maxTokens: 60 }));
    for (const numTokens of [5, 25]) {
      await until(() => sinks.every((sink) => sink.tokenIds().length >= numTokens));
      process.kill(client.enginePid!, "SIGKILL");
      const { numRestarts } = client;
      await until(() => client.numRestarts > numRestarts);
    }
    await Promise.all(sinks.map((sink) => sink.done));
    for (const [index, sink] of sinks.entries()) {
      assert.deepEqual(sink.tokenIds(), expectedTokens(prompts[index]!, 60));
    }
    assert.equal(observer.numRestarts, 2);
    assert.deepEqual(client.stats().blocks.used, 0);
  });

  it("accepts requests while the engine restarts", async () => {
    const { client } = createClient();
    await client.start();
    process.kill(client.enginePid!, "SIGKILL");
    await until(() => client.state === "restarting");
    const prompt = createPrompt(3);
    const sink = run(client, { prompts: [{ tokenIds: prompt }], maxTokens: 4 });
    await sink.done;
    assert.deepEqual(sink.tokenIds(), expectedTokens(prompt, 4));
  });

  it("gives up only the request that kills the engine twice", async () => {
    const { client, observer } = createClient({ stepMs: 2 });
    await client.start();
    const prompts = Array.from({ length: 6 }, (_, index) => createPrompt(index));
    const sinks = prompts.map((tokenIds) => run(client, { prompts: [{ tokenIds }], maxTokens: 40 }));
    await until(() => sinks.every((sink) => sink.tokenIds().length > 2));
    const poison = run(client, { prompts: [{ tokenIds: [POISON_TOKEN, 5, 6] }], maxTokens: 4 });
    await Promise.all([...sinks, poison].map((sink) => sink.done));
    assert.equal(poison.error?.code, "internal_error");
    for (const [index, sink] of sinks.entries()) {
      assert.equal(sink.error, null);
      assert.deepEqual(sink.tokenIds(), expectedTokens(prompts[index]!, 40));
    }
    assert.equal(observer.numRestarts, 2);
    assert.equal(client.state === "ready" || client.state === "restarting", true);
  });

  it("frees the blocks of an aborted generation, running or queued", async () => {
    const { client, observer } = createClient({ stepMs: 2 });
    await client.start();
    const generations = Array.from({ length: 40 }, (_, index) => {
      const sink = new RecordingSink();
      const prompts = [{ tokenIds: createPrompt(index) }];
      return {
        sink,
        generation: client.generate(createGenerationRequest({ prompts, maxTokens: 2000 }), sink),
      };
    });
    await until(() => client.stats().numRunning === 16);
    for (const { generation } of generations) generation.abort();
    await until(() => client.stats().numRunning === 0 && client.stats().numWaiting === 0);
    assert.equal(client.stats().blocks.used, 0);
    // What was computed leaves the pool in the steps after, a few blocks each.
    await until(() => client.stats().blocks.free === client.stats().blocks.total);
    assert.equal(observer.finished.length, 40);
    assert.ok(observer.finished.every(({ finishReasons }) => finishReasons[0] === "abort"));
    assert.ok(generations.every(({ sink }) => sink.summary === null && sink.error === null));
  });

  it("computes nothing for a paused generation, and goes on when it is resumed", async () => {
    const { client } = createClient({ stepMs: 1 });
    await client.start();
    const prompt = createPrompt(9);
    const sink = new RecordingSink();
    const generation = client.generate(
      createGenerationRequest({ prompts: [{ tokenIds: prompt }], maxTokens: 200 }),
      sink,
    );
    await until(() => sink.tokenIds().length > 3);
    generation.pause();
    await sleep(50);
    const numTokens = sink.tokenIds().length;
    await sleep(50);
    assert.equal(sink.tokenIds().length, numTokens);
    generation.resume();
    await sink.done;
    assert.deepEqual(sink.tokenIds(), expectedTokens(prompt, 200));
  });

  it("refuses beyond the queue's bound", async () => {
    const { client, observer } = createClient({ stepMs: 5 }, 10);
    const { maxNumSeqs } = await client.start();
    const accepted: RecordingSink[] = [];
    const refuse = (): void => {
      accepted.push(run(client, { maxTokens: 3 }));
    };
    for (let index = 0; index < maxNumSeqs + 10; index++) refuse();
    assert.equal(client.stats().numWaiting, maxNumSeqs + 10);
    const foretold = client.refusalOf(createProspect({ maxTokens: 3 }));
    assert.deepEqual(observer.refusals, [], "asking is not being refused");
    assert.throws(refuse, (error) => {
      assert.ok(error instanceof GenerationError && foretold !== null);
      assert.deepEqual([error.code, error.reason], ["overloaded", "queue_requests"]);
      assert.deepEqual(error, foretold);
      return true;
    });
    assert.deepEqual(observer.refusals, ["queue_requests"]);
    await Promise.all(accepted.map((sink) => sink.done));
  });

  it("expects a prompt to be computed once for its choices, and not again soon", async () => {
    const { client } = createClient({ stepMs: 2 });
    await client.start();
    const prompts = [{ tokenIds: createPrompt(1, 400) }];
    const seen: number[] = [];
    const waitingTokens = (overrides: Partial<GenerationRequest>): RecordingSink => {
      const sink = run(client, { prompts, maxTokens: 2, ...overrides });
      seen.push(client.queue().numTokens);
      return sink;
    };
    await waitingTokens({ numChoices: 4 }).done;
    await waitingTokens({}).done;
    // 24 whole blocks of 16 are shared.
    assert.deepEqual(seen.splice(0), [400 + 3 * 16, 16]);
    const answer = waitingTokens({ maxTokens: 100 });
    await answer.done;
    const turn = [...prompts[0]!.tokenIds, ...answer.tokenIds(), ...createPrompt(2, 20)];
    await waitingTokens({ prompts: [{ tokenIds: turn }] }).done;
    assert.equal(
      seen.at(-1),
      520 - 31 * 16,
      "all but the last token of an answer is cached, in whole blocks",
    );
    process.kill(client.enginePid!, "SIGKILL");
    await until(() => client.state === "restarting");
    await waitingTokens({}).done;
    assert.equal(seen.at(-1), 400, "the cache has gone with the engine");
  });

  it("counts streams that lost their memory among those that go first, until they go on", async () => {
    const { client, observer } = createClient({ stepMs: 2, numBlocks: 140 });
    await client.start();
    const sinks = Array.from({ length: 8 }, (_, index) =>
      run(client, { prompts: [{ tokenIds: createPrompt(index) }], maxTokens: 500 }),
    );
    const behind = createProspect({ prompts: [{ tokenIds: createPrompt(9, 50) }] });
    assert.equal(client.forecast(behind).numAhead, 8);
    assert.equal(client.forecast(createProspect()).numAhead, 0, "a short prompt is due before them");
    let mostAhead = 0;
    const watch = setInterval(() => {
      if (client.queue().numSequences > 0) return;
      mostAhead = Math.max(mostAhead, client.forecast(createProspect()).numAhead);
    }, 2);
    await Promise.all(sinks.map((sink) => sink.done));
    clearInterval(watch);
    assert.ok(observer.numPreemptions > 0);
    assert.ok(mostAhead > 0);
    assert.equal(client.forecast(createProspect()).numAhead, 0);
  });

  it("says in one sentence why a model is refused", async () => {
    const { client } = createClient({ refusal: "The model file is empty." });
    await assert.rejects(
      client.start(),
      (error) => error instanceof EngineStartError && error.message === "The model file is empty.",
    );
    assert.equal(client.state, "failed");
  });

  it("drains: finishes what fits the grace period, answers the rest", async () => {
    const { client } = createClient({ stepMs: 2 });
    await client.start();
    const short = run(client, { prompts: [{ tokenIds: createPrompt(1) }], maxTokens: 3 });
    const long = run(client, { prompts: [{ tokenIds: createPrompt(2) }], maxTokens: 1900 });
    const closed = client.close(300);
    assert.throws(() => run(client, {}), /shutting down/);
    await closed;
    assert.equal(short.summary?.numGeneratedTokens, 3);
    assert.equal(long.error?.code, "shutting_down");
    assert.equal(client.state, "stopped");
  });
});
