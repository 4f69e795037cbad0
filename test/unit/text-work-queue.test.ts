import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { TextPoolBusyError, TextPoolError } from "../../src/text-pool/text-pool-error.ts";
import { WorkQueue } from "../../src/text-pool/work-queue.ts";

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((settle) => (resolve = settle));
  return { promise, resolve };
}

describe("WorkQueue", () => {
  it("runs work in order, one piece at a time for each worker", async () => {
    const queue = new WorkQueue(["w"], 10);
    const order: number[] = [];
    let numRunning = 0;
    const work = async (index: number): Promise<void> => {
      assert.equal(++numRunning, 1);
      await Promise.resolve();
      order.push(index);
      numRunning--;
    };
    await Promise.all([1, 2, 3].map((index) => queue.run(() => work(index))));
    assert.deepEqual(order, [1, 2, 3]);
  });

  it("refuses more than may wait, and takes work again afterwards", async () => {
    const queue = new WorkQueue(["w"], 1);
    const gate = deferred();
    const running = queue.run(() => gate.promise);
    const waiting = queue.run(async () => "late");
    await assert.rejects(
      queue.run(async () => undefined),
      TextPoolBusyError,
    );
    gate.resolve();
    await running;
    assert.equal(await waiting, "late");
    assert.equal(await queue.run(async () => "again"), "again");
  });

  it("frees the worker of work that fails", async () => {
    const queue = new WorkQueue(["w"], 1);
    await assert.rejects(
      queue.run(() => Promise.reject(new Error("no"))),
      /no/u,
    );
    assert.equal(await queue.run(async (worker) => worker), "w");
  });

  it("rejects what waits when it closes", async () => {
    const queue = new WorkQueue(["w"], 1);
    const gate = deferred();
    const running = queue.run(() => gate.promise);
    const waiting = queue.run(async () => undefined);
    queue.close();
    await assert.rejects(waiting, (error) => error instanceof TextPoolError && error.code === "closed");
    await assert.rejects(
      queue.run(async () => undefined),
      TextPoolError,
    );
    gate.resolve();
    await running;
  });
});
