import assert from "node:assert/strict";
import { request as httpRequest } from "node:http";
import { connect } from "node:net";
import { test } from "node:test";
import type { HTTPMethods } from "fastify";
import { createTestServer, listen } from "../support/test-server.ts";
import type { TestServer } from "../support/test-server.ts";
import { until } from "../support/until.ts";

const completion = { prompt: "hi" };
const keyed = { config: { apiKeys: ["secret-1", "secret-2"] } };

/** A request whose headers are exactly these; fetch would set Host itself. */
function raw(url: string, path: string, headers: Record<string, string>): Promise<number> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(url + path, { headers }, (response) => {
      response.resume();
      response.on("end", () => resolve(response.statusCode ?? 0));
    });
    request.on("error", reject).end();
  });
}

test("keys: bearer in any case, x-api-key, each configured one", async (t) => {
  const { app } = await createTestServer(t, keyed);
  const cases: [Record<string, string>, number][] = [
    [{ authorization: "Bearer secret-1" }, 200],
    [{ authorization: "bearer secret-2" }, 200],
    [{ authorization: "BEARER   secret-2 " }, 200],
    [{ "x-api-key": "secret-1" }, 200],
    [{}, 401],
    [{ authorization: "Bearer wrong" }, 401],
    [{ authorization: "Bearer" }, 401],
    [{ authorization: "Basic secret-1" }, 401],
    [{ authorization: "secret-1" }, 401],
    [{ "x-api-key": "secret-1 x" }, 401],
  ];
  for (const [headers, status] of cases) {
    const response = await app.inject({ url: "/v1/models", headers });
    assert.equal(response.statusCode, status, JSON.stringify(headers));
    if (status === 401) {
      const { error } = response.json<{ error: Record<string, unknown> }>();
      assert.equal(error["code"], "invalid_api_key");
      assert.equal(error["type"], "authentication_error");
    }
  }
});

test("every route but the open ones needs the key, with and without a trailing slash", async (t) => {
  const { app } = await createTestServer(t, keyed);
  const open = new Set([
    "/health",
    "/health/live",
    "/health/ready",
    "/v1/health",
    "/metrics",
    "/openapi.json",
  ]);
  const routes: [HTTPMethods, string][] = [];
  for (const url of open) routes.push(["GET", url]);
  for (const url of ["/v1/models", "/v1/models/x", "/version", "/load", "/v1/ws", "/nope"])
    routes.push(["GET", url]);
  for (const prefix of ["", "/v1"]) {
    for (const path of ["chat/completions", "completions", "tokenize", "detokenize"]) {
      routes.push(["POST", `${prefix}/${path}`]);
    }
  }
  routes.push(["POST", "/abort_requests"], ["OPTIONS", "/v1/models"], ["DELETE", "/v1/completions"]);
  for (const [method, url] of routes) {
    for (const path of [url, `${url}/`]) {
      const response = await app.inject({ method, url: path });
      const expected = open.has(url) ? 200 : 401;
      assert.equal(response.statusCode, expected, `${method} ${path}`);
      assert.match(String(response.headers["x-request-id"]), /^req_/);
    }
  }
});

test("metrics can be put behind the key; the documentation is open and comes from here", async (t) => {
  const { app } = await createTestServer(t, { config: { ...keyed.config, guardMetrics: true } });
  assert.equal((await app.inject({ url: "/metrics" })).statusCode, 401);
  const headers = { "x-api-key": "secret-1" };
  assert.equal((await app.inject({ url: "/metrics", headers })).statusCode, 200);
  const redirect = await app.inject({ url: "/docs" });
  assert.equal(redirect.headers.location, "/docs/");
  const page = await app.inject({ url: "/docs/" });
  assert.equal(page.statusCode, 200);
  assert.doesNotMatch(page.body, /(src|href)="(https?:)?\/\//);
  assert.equal((await app.inject({ url: "/docs/js/scalar.js" })).statusCode, 200);
  const missing = await app.inject({ url: "/docs/no-such-page" });
  assert.deepEqual([missing.statusCode, missing.json().error.code], [404, "not_found"]);
});

test("tenants share no cached prefixes and salts cannot be forged", async (t) => {
  const { app, engine } = await createTestServer(t, keyed);
  for (const [key, salt] of [["secret-1"], ["secret-2"], ["secret-1", "x"]]) {
    const payload = { ...completion, ...(salt === undefined ? {} : { cache_salt: salt }) };
    await app.inject({
      method: "POST",
      url: "/v1/completions",
      headers: { "x-api-key": key ?? "" },
      payload,
    });
  }
  const salts = engine.received.map((request) => request.cacheSalt);
  assert.equal(new Set(salts).size, 3);
  assert.ok(salts.every((salt) => !salt.includes("secret")));
  assert.equal(new Set(engine.received.map((request) => request.tenantId)).size, 2);
});

test("a tenant aborts its own requests only", async (t) => {
  const server = await createTestServer(t, { ...keyed, engine: { stepMs: null } });
  const abortAs = (key: string) =>
    server.app.inject({
      method: "POST",
      url: "/abort_requests",
      headers: { "x-api-key": key },
      payload: { request_ids: ["mine"] },
    });
  const headers = { "x-api-key": "secret-1", "x-request-id": "mine" };
  const answer = server.app.inject({ method: "POST", url: "/v1/completions", headers, payload: completion });
  await until(() => server.engine.active.size > 0);
  await abortAs("secret-2");
  assert.equal(server.engine.active.size, 1);
  await abortAs("secret-1");
  assert.equal(server.engine.active.size, 0);
  assert.equal((await answer).statusCode, 400);
});

test("wrong method, unknown route, wrong content type", async (t) => {
  const { app } = await createTestServer(t);
  const wrongMethod = await app.inject({ url: "/v1/chat/completions" });
  assert.equal(wrongMethod.statusCode, 405);
  assert.equal(wrongMethod.headers["allow"], "POST");
  assert.equal((await app.inject({ method: "DELETE", url: "/v1/models/a/b" })).statusCode, 405);
  const unknown = await app.inject({ url: "/v1/nope" });
  assert.equal(unknown.statusCode, 404);
  assert.deepEqual(Object.keys(unknown.json<{ error: object }>().error), [
    "message",
    "type",
    "param",
    "code",
  ]);
  const malformed = await app.inject({ url: "/v1/%zz" });
  assert.equal(malformed.statusCode, 400);
  assert.match(String(malformed.headers["x-request-id"]), /^req_/);

  for (const type of [
    "text/plain",
    "application/json\ta",
    "application/xml",
    "multipart/form-data; boundary=x",
    "",
  ]) {
    const response = await app.inject({
      method: "POST",
      url: "/v1/completions",
      headers: { "content-type": type },
      payload: JSON.stringify(completion),
    });
    assert.equal(response.statusCode, 415, JSON.stringify(type));
  }
  for (const type of [
    "application/json",
    "application/json; charset=utf-8",
    "Application/JSON;charset=UTF-8",
  ]) {
    const response = await app.inject({
      method: "POST",
      url: "/v1/completions",
      headers: { "content-type": type },
      payload: JSON.stringify(completion),
    });
    assert.equal(response.statusCode, 200, type);
  }
  const gzipped = await app.inject({
    method: "POST",
    url: "/v1/completions",
    headers: { "content-type": "application/json", "content-encoding": "gzip" },
    payload: JSON.stringify(completion),
  });
  assert.equal(gzipped.statusCode, 415);
});

test("the body limit, with a length and chunked", async (t) => {
  const server = await createTestServer(t, {
    config: { bodyLimitBytes: 1024 },
    engine: { maxModelLen: 4096 },
  });
  const url = `${await listen(server)}/v1/completions`;
  const body = (length: number) => JSON.stringify({ prompt: "x".repeat(length - '{"prompt":""}'.length) });
  const headers = { "content-type": "application/json" };
  const send = (length: number, isChunked: boolean) => {
    const init = { method: "POST", headers, duplex: "half" as const };
    return fetch(url, { ...init, body: isChunked ? new Blob([body(length)]).stream() : body(length) });
  };
  for (const isChunked of [false, true]) {
    assert.equal((await send(1024, isChunked)).status, 200);
    const tooLarge = await send(1025, isChunked);
    assert.equal(tooLarge.status, 413);
    const { error } = (await tooLarge.json()) as { error: { code: string } };
    assert.equal(error.code, "content_too_large");
  }
});

test("request ids are echoed when they are well formed", async (t) => {
  const { app } = await createTestServer(t);
  const echoed = async (id: string) =>
    (await app.inject({ url: "/health", headers: { "x-request-id": id } })).headers["x-request-id"];
  assert.equal(await echoed("abc-1.2:3/4"), "abc-1.2:3/4");
  for (const id of ["a b", "x".repeat(129), "<script>", ""])
    assert.match(String(await echoed(id)), /^req_\w{32}$/);
});

test("a foreign Host on loopback is refused", async (t) => {
  const server = await createTestServer(t, { config: { allowedHosts: ["gpu.example"] } });
  const url = await listen(server);
  const { port } = new URL(url);
  for (const host of [
    `127.0.0.1:${port}`,
    `localhost:${port}`,
    "localhost",
    "[::1]:80",
    `GPU.example:${port}`,
  ]) {
    assert.equal(await raw(url, "/version", { host }), 200, host);
  }
  for (const host of [
    "evil.example",
    `evil.example:${port}`,
    "localhost.evil.example",
    "127.0.0.1.evil.example",
  ]) {
    assert.equal(await raw(url, "/version", { host }), 403, host);
  }
});

async function preflight({ app }: TestServer, origin: string) {
  return app.inject({
    method: "OPTIONS",
    url: "/v1/chat/completions",
    headers: { origin, "access-control-request-method": "POST" },
  });
}

test("CORS: allowed origins are named, others get nothing, preflights need no key", async (t) => {
  const server = await createTestServer(t, {
    config: { ...keyed.config, corsOrigins: ["localhost", "https://ui.example"] },
  });
  for (const origin of [
    "http://localhost:3000",
    "http://127.0.0.1:5173",
    "http://[::1]:1",
    "https://ui.example",
  ]) {
    const response = await preflight(server, origin);
    assert.equal(response.statusCode, 204);
    assert.equal(response.headers["access-control-allow-origin"], origin);
    assert.equal(response.headers["access-control-allow-methods"], "GET, POST, DELETE, OPTIONS");
  }
  for (const origin of [
    "https://evil.example",
    "http://localhost.evil.example",
    "null",
    "https://ui.example.evil.example",
  ]) {
    const response = await preflight(server, origin);
    assert.equal(response.statusCode, 204);
    assert.deepEqual(
      Object.keys(response.headers).filter((name) => name.startsWith("access-control-")),
      [],
    );
  }
  const headers = { origin: "https://ui.example", "x-api-key": "secret-1" };
  const answer = await server.app.inject({ url: "/v1/models", headers });
  assert.equal(answer.headers["access-control-allow-origin"], "https://ui.example");
  assert.equal(answer.headers["vary"], "Origin");
  assert.match(String(answer.headers["access-control-expose-headers"]), /\bx-headway-rejected-reason\b/);
});

test("what is not even HTTP gets an answer too", async (t) => {
  const server = await createTestServer(t);
  const { port } = new URL(await listen(server));
  const exchange = (text: string) =>
    new Promise<string>((resolve, reject) => {
      let received = "";
      const socket = connect(Number(port), "127.0.0.1", () => socket.write(text));
      socket.on("data", (data) => (received += data.toString("utf8")));
      socket.on("close", () => resolve(received));
      socket.on("error", reject);
    });
  assert.match(await exchange("nonsense\r\n\r\n"), /^HTTP\/1.1 400 [^]*"error":\{"message"/);
  const long = `GET /health HTTP/1.1\r\nHost: localhost\r\nX: ${"y".repeat(20_000)}\r\n\r\n`;
  assert.match(await exchange(long), /^HTTP\/1.1 431 [^]*\r\nX-Request-Id: req_\w+\r\n/);
  const both =
    "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
  assert.match(await exchange(both), /^HTTP\/1.1 400 /);
});
