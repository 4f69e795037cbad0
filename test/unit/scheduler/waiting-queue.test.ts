import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { compareWithinClass, TurnOrder, type Contender } from "../../../scheduler/urgency.ts";
import { VirtualTokenCounters, type TenantAccount } from "../../../scheduler/virtual-token-counters.ts";
import { WaitingQueue } from "../../../scheduler/waiting-queue.ts";

const AGEING_MS = 100;

class Harness {
  readonly order = new TurnOrder(AGEING_MS);
  readonly queue = new WaitingQueue<Contender>(this.order);
  readonly counters = new VirtualTokenCounters();
  #numArrivals = 0;

  push(overrides: Partial<Contender> & { readonly tenantId?: string } = {}): Contender {
    const { tenantId = "", priority = 0, ...rest } = overrides;
    const agedArrivalMs = this.order.nowMs + priority * AGEING_MS;
    const contender = {
      priority,
      agedArrivalMs,
      urgency: agedArrivalMs,
      arrivalIndex: this.#numArrivals++,
      isResuming: false,
      account: this.counters.arrive(tenantId, 0),
      dueMs: this.order.nowMs,
      ...rest,
    };
    this.queue.push(contender);
    return contender;
  }

  /** All that waits, in the order of turns. */
  takeAll(): Contender[] {
    const taken: Contender[] = [];
    for (let first = this.queue.peek(); first !== null; first = this.queue.peek()) {
      this.queue.remove(first);
      taken.push(first);
    }
    return taken;
  }
}

describe("WaitingQueue", () => {
  test("classes, then interrupted streams, then the least served tenant, then the earliest due", () => {
    const harness = new Harness();
    harness.counters.arrive("busy", 0).counter = 100;
    const busy = harness.push({ tenantId: "busy", dueMs: 0 });
    const late = harness.push({ tenantId: "quiet", dueMs: 9 });
    const soon = harness.push({ tenantId: "quiet", dueMs: 5 });
    const resumed = harness.push({ tenantId: "busy", isResuming: true, urgency: 7 });
    const resumedFirst = harness.push({ tenantId: "busy", isResuming: true, urgency: 6 });
    const urgent = harness.push({ tenantId: "busy", priority: -1, dueMs: 99 });
    assert.deepEqual(harness.takeAll(), [urgent, resumedFirst, resumed, soon, late, busy]);
    assert.equal(harness.queue.size, 0);
  });

  test("what a tenant is charged while it waits counts at once", () => {
    const harness = new Harness();
    const first = harness.push({ tenantId: "a" });
    const second = harness.push({ tenantId: "b" });
    assert.equal(harness.queue.peek(), first);
    first.account.counter += 1;
    assert.equal(harness.queue.peek(), second);
  });

  test("a long wait lets the oldest compete in a better class, where fairness still counts", () => {
    const harness = new Harness();
    const patient = harness.push({ tenantId: "patient", priority: 2, dueMs: 0 });
    harness.order.nowMs = 2 * AGEING_MS - 1;
    const normal = harness.push({ tenantId: "normal", dueMs: 300 });
    assert.equal(harness.queue.peek(), normal);
    harness.order.nowMs += 1;
    assert.equal(harness.queue.peek(), patient);
    patient.account.counter = 1;
    assert.equal(harness.queue.peek(), normal);
  });

  test("a tenant that comes back is level with those that wait, and keeps what it owes", () => {
    const harness = new Harness();
    const waiting = harness.push({ tenantId: "waiting" });
    waiting.account.counter = 50;
    const idle: TenantAccount = { tenantId: "idle", counter: 10, arrivalMs: 0 };
    const indebted: TenantAccount = { tenantId: "indebted", counter: 70, arrivalMs: 0 };
    for (const account of [idle, indebted]) harness.queue.level(account);
    assert.deepEqual([idle.counter, indebted.counter], [49, 70], "level, and first of equals");
    harness.queue.remove(waiting);
    const later: TenantAccount = { tenantId: "later", counter: 0, arrivalMs: 0 };
    harness.queue.level(later);
    assert.equal(later.counter, 49);
  });

  test("a tenant that has work waiting is not levelled again", () => {
    const harness = new Harness();
    const { account } = harness.push({ tenantId: "behind" });
    harness.push({ tenantId: "ahead" }).account.counter = 50;
    harness.queue.level(account);
    assert.equal(account.counter, 0);
  });

  test("in one class it agrees with a sorted list, whatever is pushed, removed and charged", () => {
    const script = fc.array(
      fc.record({
        kind: fc.constantFrom("push", "push", "remove", "charge"),
        tenant: fc.nat(3),
        dueMs: fc.nat(5),
        isResuming: fc.nat(9).map((value) => value === 0),
        pick: fc.nat(),
      }),
      { maxLength: 60 },
    );
    const property = fc.property(script, (steps) => {
      const harness = new Harness();
      const waiting: Contender[] = [];
      for (const { kind, tenant, dueMs, isResuming, pick } of steps) {
        const tenantId = `tenant-${tenant}`;
        if (kind === "charge") harness.counters.arrive(tenantId, 0).counter += 1 + (pick % 5);
        else if (kind === "push") waiting.push(harness.push({ tenantId, dueMs, isResuming }));
        else if (waiting.length > 0) {
          const [item] = waiting.splice(pick % waiting.length, 1);
          assert.equal(harness.queue.remove(item!), true);
          assert.equal(harness.queue.remove(item!), false);
        }
        assert.equal(harness.queue.peek(), waiting.toSorted(compareWithinClass)[0] ?? null);
        assert.deepEqual(new Set(harness.queue), new Set(waiting));
      }
    });
    fc.assert(property, { numRuns: 500, seed: 1 });
  });
});
