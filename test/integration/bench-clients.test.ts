import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { test } from "node:test";

import { configFromArguments } from "../../bench/config-from-arguments.ts";
import { MonotonicClock } from "../../bench/load/clock.ts";
import type { ScheduledRequest } from "../../bench/load/request.ts";
import { RequestRecorder } from "../../bench/load/request-recorder.ts";
import { WebSocketClient } from "../../bench/load/websocket-client.ts";

test("a WebSocket client that gives up does not wait for a socket that never opens", async () => {
  const silent = createServer().listen(0, "127.0.0.1");
  await once(silent, "listening");
  const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
  const { target } = configFromArguments(["--api", "websocket", "--url", url], "m");
  const clock = new MonotonicClock(process.hrtime.bigint());
  const client = new WebSocketClient({ target, clock, slowReadMs: 1 });
  const request = { tenant: null, slowReader: false } as ScheduledRequest;
  const recorder = new RequestRecorder(request, "usage", () => {});
  const abort = new AbortController();
  const sending = client.send(recorder, "{}", abort.signal);
  abort.abort(new Error("gave up"));
  await assert.rejects(sending, /gave up/);
  client.close();
  silent.close();
});
