import assert from "node:assert/strict";
import { test } from "node:test";
import type { ActiveGeneration } from "../../src/engine/active-generation.ts";
import { createChoices } from "../../src/engine/create-choices.ts";
import { Forecaster } from "../../src/engine/forecaster.ts";
import type { QueuePlace } from "../../src/engine/generation.ts";
import { NO_STATS } from "../../src/engine/no-stats.ts";
import { QueueReporter } from "../../src/engine/queue-reporter.ts";
import { SequenceLedger } from "../../src/engine/sequence-ledger.ts";
import { createFakeModelInfo } from "../../models/fake-model-runner.ts";
import { createAssembler, createGenerationRequest, pieceOf } from "../support/engine-builders.ts";

interface Waiting {
  readonly ledger: SequenceLedger;
  readonly places: Map<string, QueuePlace>;
  add(requestId: string, numPromptTokens: number, tenantId?: string): void;
  report(): Promise<void>;
}

/** All rows are taken, and each prompt token takes 2 ms. */
function createQueue(): Waiting {
  const ledger = new SequenceLedger(() => {});
  const stats = { ...NO_STATS, numRunning: 4 };
  const forecaster = new Forecaster(
    { waiting: ledger.waiting, interrupted: ledger.interrupted, runAgesMs: () => [100, 200, 300, 400] },
    () => ({ stats, model: createFakeModelInfo({ maxNumSeqs: 4 }), nowMs: 0 }),
  );
  forecaster.noteReady({ promptTokenMs: 2, tokenGapMs: 10 });
  const reporter = new QueueReporter(ledger, forecaster);
  const places = new Map<string, QueuePlace>();
  let count = 0;
  return {
    ledger,
    places,
    add(requestId, numPromptTokens, tenantId = "") {
      const prompts = [{ tokenIds: Array.from({ length: numPromptTokens }, () => 1) }];
      const request = createGenerationRequest({ requestId, prompts, tenantId });
      const choices = createChoices(request, {
        nextSequenceId: () => `${count++}`,
        createAssembler: () => createAssembler(),
        pieceOf,
        firstTokenWithinMs: null,
      });
      const generation = {
        request,
        choices,
        acceptedAtMs: 0,
        isPaused: false,
        asksForPlace: true,
        tellPlace: (place: QueuePlace) => places.set(requestId, place),
      } as unknown as ActiveGeneration;
      ledger.add(choices[0]!, generation, numPromptTokens);
    },
    report: () => reporter.report(),
  };
}

test("a place in the queue is that of the order of turns, not of arrival", async () => {
  const queue = createQueue();
  queue.add("long", 500);
  queue.add("longer", 600);
  queue.add("short", 8);
  await queue.report();
  const positions = ["short", "long", "longer"].map((id) => queue.places.get(id)?.position);
  assert.deepEqual(positions, [1, 2, 3]);
});

test("tenants take turns, and everyone who asks is told, however many", async () => {
  const queue = createQueue();
  for (let index = 0; index < 450; index += 1) queue.add(`flood-${index}`, 10, "flood");
  for (let index = 0; index < 300; index += 1) queue.add(`single-${index}`, 10, `tenant-${index}`);
  await queue.report();
  assert.equal(queue.places.size, 750);
  assert.equal(queue.places.get("single-299")?.position, 301, "one of each other tenant may come first");
  assert.equal(queue.places.get("flood-449")?.position, 750);
});

test("who has been given a row or has gone is not told any more", async () => {
  const queue = createQueue();
  queue.add("first", 10);
  queue.add("second", 20);
  queue.ledger.noteStarted("0", 0);
  await queue.report();
  assert.deepEqual([...queue.places.keys()], ["second"]);
  assert.equal(queue.places.get("second")?.position, 1);
});
