import type { TestContext } from "node:test";
import type { FastifyInstance } from "fastify";
import { pino } from "pino";
import { buildApp } from "../../src/server/app.ts";
import { defaultServerConfig } from "../../src/server/dependencies.ts";
import type { ServerConfig } from "../../src/server/dependencies.ts";
import type { PrefixStore } from "../../src/server/prefix-store.ts";
import { Telemetry } from "../../src/telemetry/telemetry.ts";
import { FakeEngine } from "./fake-engine.ts";
import type { FakeEngineOptions } from "./fake-engine.ts";
import { FakeText } from "./fake-text.ts";

export interface TestServer {
  readonly app: FastifyInstance;
  readonly engine: FakeEngine;
  readonly text: FakeText;
  readonly telemetry: Telemetry;
}

export interface TestServerOptions {
  readonly config?: Partial<ServerConfig>;
  readonly engine?: FakeEngineOptions;
  readonly prefixStore?: PrefixStore;
}

export const servedModel = "test/model";

/** A server over a fake engine; it closes with its test. */
export async function createTestServer(
  t: TestContext,
  { config = {}, engine: engineOptions = {}, prefixStore }: TestServerOptions = {},
): Promise<TestServer> {
  const engine = new FakeEngine(engineOptions);
  const text = new FakeText();
  const telemetry = new Telemetry(servedModel);
  telemetry.watch(engine);
  const app = await buildApp({
    engine,
    text,
    telemetry,
    config: { ...defaultServerConfig, servedModelName: servedModel, ...config },
    logger: pino({ level: "silent" }),
    version: "0.0.0-test",
    ...(prefixStore !== undefined && { prefixStore }),
  });
  t.after(async () => {
    await engine.close();
    app.server.closeAllConnections();
    await app.close();
  });
  return { app, engine, text, telemetry };
}

/** Starts listening on a free loopback port and returns the base URL. */
export async function listen({ app }: TestServer): Promise<string> {
  return app.listen({ host: "127.0.0.1", port: 0 });
}
