import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { listenForShutdown } from "../../../src/cli/shutdown.ts";

function listen(t: TestContext) {
  const clock = { nowMs: 1000 };
  const shutdown = listenForShutdown(() => clock.nowMs);
  t.after(() => shutdown.dispose());
  return { clock, shutdown };
}

test("the first signal asks for a drain, the second to stop now", async (t) => {
  const { clock, shutdown } = listen(t);
  assert.ok(!shutdown.requested.aborted);
  process.emit("SIGTERM", "SIGTERM");
  await shutdown.whenRequested;
  assert.ok(!shutdown.forced.aborted);
  clock.nowMs += 2000;
  process.emit("SIGINT", "SIGINT");
  await shutdown.whenForced;
  assert.ok(shutdown.forced.aborted);
});

test("a signal that npm repeats is not a second one", (t) => {
  const { clock, shutdown } = listen(t);
  process.emit("SIGINT", "SIGINT");
  clock.nowMs += 20;
  process.emit("SIGINT", "SIGINT");
  assert.ok(shutdown.requested.aborted);
  assert.ok(!shutdown.forced.aborted);
});

test("nothing is listened for after the end", () => {
  const before = process.listenerCount("SIGTERM");
  listenForShutdown().dispose();
  assert.equal(process.listenerCount("SIGTERM"), before);
});
