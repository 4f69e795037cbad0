import type { TestContext } from "node:test";
import { createTestServer, listen } from "./test-server.ts";
import type { TestServer, TestServerOptions } from "./test-server.ts";
import { openWebSocket } from "./ws-client.ts";
import type { WebSocketClient } from "./ws-client.ts";

/** A server of its own, and a client on its socket; both go with the test. */
export async function connect(
  t: TestContext,
  options: TestServerOptions = {},
  headers: Record<string, string> = {},
): Promise<{ server: TestServer; client: WebSocketClient }> {
  const server = await createTestServer(t, options);
  const client = await openWebSocket(await listen(server), headers);
  t.after(() => client.terminate());
  return { server, client };
}

/** The message that starts a completion. */
export const start = (id: string, body: object, extra: object = {}) => ({
  type: "start",
  id,
  endpoint: "completions",
  body: { prompt: "hi", ...body },
  ...extra,
});
