import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { createServer, type AddressInfo } from "node:net";
import { test } from "node:test";

import { configFromArguments } from "../../bench/config-from-arguments.ts";
import { MonotonicClock } from "../../bench/load/clock.ts";
import { HttpClient } from "../../bench/load/http-client.ts";
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

test("a request that meets a connection which the server gives up is sent again, whatever else is in the pool", async () => {
  const used = new WeakSet<object>();
  let numResets = 0;
  const server = createHttpServer((request, response) => {
    if (used.has(request.socket)) {
      numResets += 1;
      request.socket.resetAndDestroy();
      return;
    }
    used.add(request.socket);
    request.resume().on("end", () => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.end("data: [DONE]\n\n");
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const { target } = configFromArguments(["--url", url], "m");
  const client = new HttpClient({
    target,
    clock: new MonotonicClock(process.hrtime.bigint()),
    slowReadMs: 1,
  });
  const send = async () => {
    const recorder = new RequestRecorder(
      { tenant: null, slowReader: false } as ScheduledRequest,
      "usage",
      () => {},
    );
    await client.send(recorder, "{}", AbortSignal.timeout(10_000));
  };
  try {
    await Promise.all([send(), send(), send()]);
    await send();
    assert.equal(numResets, 1);
  } finally {
    client.close();
    server.close();
  }
});
