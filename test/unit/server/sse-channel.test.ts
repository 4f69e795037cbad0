import assert from "node:assert/strict";
import { IncomingMessage, ServerResponse } from "node:http";
import { Socket } from "node:net";
import { test } from "node:test";
import { SseChannel } from "../../../src/server/delivery/sse-channel.ts";

function numTimersOf(response: ServerResponse): number {
  const numTimers = (): number =>
    process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
  const numBefore = numTimers();
  const channel = new SseChannel({
    response,
    headers: {},
    limits: { softBytes: 1, hardBytes: 2, maxPausedMs: 1 },
    pingIntervalMs: 60_000,
    flow: { pause() {}, resume() {}, cut() {} },
  });
  assert.ok(channel instanceof SseChannel);
  return numTimers() - numBefore;
}

test("a response that is closed already gets no pings, which nothing would end", () => {
  const open = new ServerResponse(new IncomingMessage(new Socket()));
  assert.equal(numTimersOf(open), 1);
  open.emit("close");
  const closed = new ServerResponse(new IncomingMessage(new Socket()));
  closed.destroy();
  assert.equal(numTimersOf(closed), 0);
});
