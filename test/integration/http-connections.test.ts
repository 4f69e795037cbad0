import assert from "node:assert/strict";
import net from "node:net";
import { test, type TestContext } from "node:test";
import { createTestServer, listen } from "../support/test-server.ts";

const offersHttp2 = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n";

/** Sends bytes as they are and resolves to all that came back by the time `isEnough` says so. */
function exchange(t: TestContext, url: string, pieces: string[], isEnough: RegExp): Promise<string> {
  const socket = net.connect(Number(new URL(url).port), "127.0.0.1");
  t.after(() => socket.destroy());
  let received = "";
  return new Promise((resolve, reject) => {
    socket.on("error", reject);
    socket.on("close", () => resolve(received));
    socket.on("data", (bytes) => {
      received += bytes.toString("latin1");
      const next = pieces.shift();
      if (next !== undefined) socket.write(next);
      else if (isEnough.test(received)) socket.destroy();
    });
    socket.write(pieces.shift() ?? "");
  });
}

test("an offer of HTTP/2 is passed over, whatever the request carries", async (t) => {
  const url = await listen(await createTestServer(t));
  const health = `GET /health HTTP/1.1\r\nHost: localhost\r\n`;
  assert.match(await exchange(t, url, [`${health}${offersHttp2}\r\n`], /ok/), /^HTTP\/1\.1 200 .*"ok"/s);
  const body = JSON.stringify({ prompt: "Hi", max_tokens: 2 });
  const completion = `POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n${offersHttp2}`;
  const head = `${completion}Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`;
  // The connection serves the next request too.
  const answers = await exchange(t, url, [head, body, `${health}\r\n`], /"status":"ok"/);
  assert.match(answers, /^HTTP\/1\.1 100 .*HTTP\/1\.1 200 .*"text_completion".*HTTP\/1\.1 200 .*"ok"/s);
});

test("a client hears that its body is too large, however much of it is still on its way", async (t) => {
  const url = await listen(await createTestServer(t, { config: { bodyLimitBytes: 1024 } }));
  const body = Buffer.alloc(16 * 1024 * 1024, " ");
  const headers = { "content-type": "application/json" };
  for (const content of [body, new Blob([body]).stream()]) {
    const response = await fetch(`${url}/v1/completions`, {
      method: "POST",
      headers,
      body: content,
      duplex: "half",
    });
    assert.equal(response.status, 413);
  }
});
