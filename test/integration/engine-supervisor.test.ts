import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { EngineSupervisor } from "../../src/engine/engine-supervisor.ts";
import type { FakeEngineSettings } from "../support/fake-engine-child.ts";

const neverLoading: FakeEngineSettings = { stepMs: 0, numBlocks: 16, neverLoads: true };
const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

function createSupervisor(settings: FakeEngineSettings, onUp = (): void => {}): EngineSupervisor {
  return new EngineSupervisor({
    entry: fileURLToPath(new URL("../support/fake-engine-child.js", import.meta.url)),
    settings,
    logger: silent,
    now: () => performance.now(),
    hangTimeoutMs: () => 60_000,
    maxFruitlessRestarts: 1,
    hasWork: () => false,
    onMessage: () => {},
    onUp,
    onDeath: () => {},
    onGivenUp: () => {},
  });
}

test("an engine that still loads is stopped at once, and its start rejects", async () => {
  const supervisor = createSupervisor(neverLoading);
  const refused = assert.rejects(supervisor.start(), { name: "EngineStartError" });
  const pid = supervisor.pid ?? 0;
  // Long enough for the process to be deep in its loading.
  await sleep(500);
  await supervisor.stop();
  await refused;
  assert.throws(() => process.kill(pid, 0), { code: "ESRCH" });
});

test("an engine that dies while it loads leaves its last words in the one sentence", async () => {
  const lastWords = "ggml.c:1: GGML_ASSERT(n > 0) failed";
  const supervisor = createSupervisor({ stepMs: 0, numBlocks: 16, lastWords });
  const message = `The engine process ended while loading the model (SIGABRT): ${lastWords}`;
  await assert.rejects(supervisor.start(), { name: "EngineStartError", message });
  assert.equal(supervisor.state, "failed");
});

test("an engine that replaces a dead one is told what that has measured", async () => {
  const ups = new EventEmitter();
  const supervisor = createSupervisor({ stepMs: 0, numBlocks: 256 }, () => ups.emit("up"));
  await supervisor.start();
  assert.deepEqual(supervisor.notes, []);
  const isUpAgain = once(ups, "up");
  process.kill(supervisor.pid!, "SIGKILL");
  await isUpAgain;
  assert.deepEqual(supervisor.notes, ["known: a copy takes 1 ms"]);
  await supervisor.stop();
});
