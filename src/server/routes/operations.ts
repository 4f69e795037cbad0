import type { FastifyInstance } from "fastify";
import { abortSchema, checkAbortBody } from "../schemas/bodies.ts";
import type { ServerContext } from "../server-context.ts";

const tags = ["Operations"];

/** What operators and balancers ask for. */
export function registerOperationRoutes(app: FastifyInstance, context: ServerContext): void {
  const { telemetry, config, version } = context.dependencies;
  const { admission } = context.completions;

  app.get("/version", { schema: { tags, summary: "The server's version" } }, () => ({ version }));

  app.get("/load", { schema: { tags, summary: "Requests in flight" } }, () => ({
    server_load: admission.numInFlight,
  }));

  app.get(
    "/metrics",
    { config: { isPublic: !config.guardMetrics }, schema: { tags, summary: "Prometheus metrics" } },
    async (_request, reply) => reply.type(telemetry.contentType).send(await telemetry.render()),
  );

  const abortRoute = { body: abortSchema, tags, summary: "Abort requests by id" };
  app.post("/abort_requests", { schema: abortRoute }, (request) => {
    admission.abort(new Set(checkAbortBody(request.body).request_ids), request.tenantId);
    return {};
  });
}
