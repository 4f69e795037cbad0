import assert from "node:assert/strict";
import { request as httpRequest, type IncomingHttpHeaders } from "node:http";
import { after, before, describe, it } from "node:test";
import type { RunningServer } from "../../src/serve.ts";
import { startRealServer } from "../support/real-server.ts";
import { openWebSocket } from "../support/ws-client.ts";

const KEY = "the-key";

/** Both forms in which a key may be sent, by what they send for it. */
const forms: readonly (readonly [name: string, headers: (key: string) => Record<string, string>])[] = [
  ["bearer", (key) => ({ authorization: `Bearer ${key}` })],
  ["lower case bearer", (key) => ({ authorization: `bearer ${key}` })],
  ["x-api-key", (key) => ({ "x-api-key": key })],
];

/** Headers that hold no right key. */
const refused: readonly (readonly [name: string, headers: Record<string, string>])[] = [
  ["no key", {}],
  ["the key with another scheme", { authorization: `Basic ${KEY}` }],
  ["the key without a scheme", { authorization: KEY }],
  ["an empty key", { "x-api-key": "" }],
  ...forms.flatMap(([name, headers]): [string, Record<string, string>][] => [
    [`a wrong key, ${name}`, headers("wrong")],
    [`a longer key, ${name}`, headers(`${KEY}x`)],
  ]),
];

const openPaths = [
  "/health",
  "/health/live",
  "/health/ready",
  "/v1/health",
  "/metrics",
  "/openapi.json",
  "/docs",
];

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

interface Route {
  readonly method: string;
  readonly path: string;
}

describe("a server with --api-key", () => {
  let server: RunningServer;

  before(async () => {
    server = await startRealServer({ "api-key": KEY });
  });

  after(async () => {
    await server.close(0);
  });

  /** An upgrade that is refused is answered as any other request. */
  function send({ method, path }: Route, headers: Record<string, string>): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const request = httpRequest(server.url + path, { method, headers }, (response) => {
        let body = "";
        response.on("data", (data: Buffer) => (body += data.toString()));
        response.on("end", () => {
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body });
        });
      });
      request.on("error", reject).end();
    });
  }

  /** All that the document names but the open ones, and the aliases that it leaves out. */
  async function guardedRoutes(): Promise<Route[]> {
    const { paths } = (await (await fetch(`${server.url}/openapi.json`)).json()) as {
      paths: Record<string, object>;
    };
    const documented = Object.entries(paths)
      .filter(([path]) => !openPaths.includes(path))
      .flatMap(([path, methods]) =>
        Object.keys(methods).map((method) => ({
          method: method.toUpperCase(),
          path: path.replace("{id}", "x"),
        })),
      );
    const aliases = ["/chat/completions", "/completions"].map((path) => ({ method: "POST", path }));
    return [...documented, ...aliases];
  }

  function assertUnauthorized({ status, headers, body }: Answer, what: string): void {
    assert.equal(status, 401, what);
    assert.match(String(headers["content-type"]), /^application\/json/, what);
    const { error } = JSON.parse(body) as { error: Record<string, unknown> };
    assert.deepEqual(Object.keys(error), ["message", "type", "param", "code"], what);
    assert.deepEqual(
      [error["type"], error["param"], error["code"]],
      ["authentication_error", null, "invalid_api_key"],
      what,
    );
    assert.equal(typeof error["message"], "string");
    assert.ok(!body.includes(KEY));
  }

  it("refuses every guarded route, in each form, in OpenAI's words", async () => {
    const routes = await guardedRoutes();
    const names = routes.map(({ method, path }) => `${method} ${path}`);
    for (const name of [
      "POST /v1/chat/completions",
      "POST /v1/completions",
      "GET /v1/models",
      "GET /v1/ws",
      "GET /capacity",
      "POST /v1/prefixes",
    ])
      assert.ok(names.includes(name), name);
    for (const route of routes) {
      for (const [name, headers] of refused) {
        const what = `${route.method} ${route.path}, ${name}`;
        assertUnauthorized(await send(route, headers), what);
        assertUnauthorized(await send({ ...route, path: `${route.path}/` }, headers), `${what}, slash`);
      }
    }
  });

  it("lets the key in, in each form, to every guarded route", async () => {
    for (const route of await guardedRoutes()) {
      for (const [name, headers] of forms) {
        const { status } = await send(route, headers(KEY));
        assert.ok(status !== 401 && status < 500, `${route.method} ${route.path}, ${name}: ${status}`);
      }
    }
    for (const [, headers] of forms) {
      const body = JSON.stringify({ prompt: "Once", max_tokens: 1 });
      const init = { method: "POST", headers: { ...headers(KEY), "content-type": "application/json" }, body };
      assert.equal((await fetch(`${server.url}/v1/completions`, init)).status, 200);
    }
  });

  it("guards the WebSocket's upgrade alike", async () => {
    const upgrade = {
      connection: "Upgrade",
      upgrade: "websocket",
      "sec-websocket-version": "13",
      "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    };
    for (const [name, headers] of refused) {
      const answer = await send({ method: "GET", path: "/v1/ws" }, { ...upgrade, ...headers });
      assertUnauthorized(answer, name);
      // Else a client would send its next request over a socket that is about to end.
      assert.equal(answer.headers.connection, "close");
    }
    for (const [, headers] of forms) {
      const client = await openWebSocket(server.url, headers(KEY));
      client.send({ type: "ping" });
      await client.until(() => client.frames.some(({ type }) => type === "pong"));
      client.close();
    }
  });

  it("leaves the open routes open", async () => {
    for (const path of openPaths) {
      for (const headers of [{}, { authorization: "Bearer wrong" }]) {
        const { status } = await send({ method: "GET", path }, headers);
        assert.equal(status, path === "/docs" ? 301 : 200, path);
      }
    }
  });
});
