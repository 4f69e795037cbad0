import type { FastifyInstance } from "fastify";
import type { ServerContext } from "../server-context.ts";
import { requireReady } from "../servable.ts";

const tags = ["Health"];

/** Probes. They need no key: balancers have none. */
export function registerHealthRoutes(app: FastifyInstance, { dependencies }: ServerContext): void {
  const { engine, config } = dependencies;
  const open = { isPublic: true };
  app.get("/health/live", { config: open, schema: { tags, summary: "The process answers" } }, () => ({
    status: "ok",
  }));
  for (const path of ["/health", "/v1/health", "/health/ready"]) {
    const schema = { tags, summary: "Requests would be served", hide: path === "/v1/health" };
    app.get(path, { config: open, schema }, () => {
      requireReady(engine, config.stallAfterMs);
      return { status: "ok" };
    });
  }
}
