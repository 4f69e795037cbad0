import fastify, { LogController } from "fastify";
import type { FastifyBaseLogger, FastifyInstance, FastifyRequest } from "fastify";
import { CompletionService } from "./completion-service.ts";
import type { AppDependencies } from "./dependencies.ts";
import { toApiError, unsupportedMediaType } from "./error-mapping.ts";
import { Authenticator } from "./http/authentication.ts";
import { applyCors } from "./http/cors.ts";
import { onClientError, registerErrorReplies, sendApiError } from "./http/error-replies.ts";
import { parseJsonBody } from "./http/json-body.ts";
import { OriginPolicy } from "./http/origin-policy.ts";
import { requestIdOf } from "./http/request-id.ts";
import { recordRoutes } from "./http/route-table.ts";
import { registerApiDocs } from "./routes/api-docs.ts";
import { registerCapacityRoutes } from "./routes/capacity.ts";
import { registerCompletionRoutes } from "./routes/completions.ts";
import { registerHealthRoutes } from "./routes/health.ts";
import { registerModelRoutes } from "./routes/models.ts";
import { registerOperationRoutes } from "./routes/operations.ts";
import { registerPrefixRoutes } from "./routes/prefixes.ts";
import { registerTokenizerRoutes } from "./routes/tokenizer.ts";
import type { ServerContext } from "./server-context.ts";
import { registerWebSocketPlugin, registerWebSocketRoute } from "./websocket/route.ts";

/** Builds the server without listening, so that tests drive it as a function. */
export async function buildApp(dependencies: AppDependencies): Promise<FastifyInstance> {
  const app = createInstance(dependencies);
  const context: ServerContext = { dependencies, completions: new CompletionService(dependencies) };
  const routes = recordRoutes(app);
  registerErrorReplies(app, routes);
  registerBodyParser(app);
  await registerWebSocketPlugin(app, dependencies.config.webSocket);
  registerAccessLog(app, dependencies);
  registerGuards(app, dependencies);
  await registerApiDocs(app, dependencies.version);
  registerWebSocketRoute(app, context);
  registerHealthRoutes(app, context);
  registerModelRoutes(app, context);
  registerCompletionRoutes(app, context);
  registerTokenizerRoutes(app, context);
  registerPrefixRoutes(app, context);
  registerOperationRoutes(app, context);
  registerCapacityRoutes(app, context);
  return app;
}

function createInstance({ config, logger }: AppDependencies): FastifyInstance {
  // Fastify's own view of a logger; with pino's the type of the instance would differ from every plugin's.
  const loggerInstance: FastifyBaseLogger = logger;
  const app = fastify({
    loggerInstance,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: config.bodyLimitBytes,
    // These bound how long a request may take to arrive, never how long its answer may last.
    requestTimeout: 60_000,
    http: { headersTimeout: 15_000, maxHeaderSize: 16 * 1024 },
    // While closing, requests are refused by the engine's state, in the same form as at any other time.
    return503OnClosing: false,
    genReqId: requestIdOf,
    clientErrorHandler: onClientError,
    // Before any hook, so the id has to be set here as well.
    frameworkErrors: (error, request, reply) =>
      void sendApiError(reply.header("x-request-id", request.id), toApiError(error)),
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 1024 },
  });
  // Bodies are checked by the endpoints themselves, where WebSocket frames pass too; schemas here only document.
  app.setValidatorCompiler(() => () => true);
  app.setSerializerCompiler(() => JSON.stringify);
  return app;
}

function registerBodyParser(app: FastifyInstance): void {
  // Some clients send a Content-Type with every request.
  app.addHttpMethod("DELETE", { hasBody: false, overrideExisting: true });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("application/json", { parseAs: "buffer" }, (request, body, done) => {
    try {
      if ((request.headers["content-encoding"] ?? "identity") !== "identity") throw unsupportedMediaType();
      done(null, parseJsonBody(body as Buffer));
    } catch (error) {
      done(error as Error);
    }
  });
}

/** Runs before anything else of a request, also of one that no route answers. */
function registerGuards(app: FastifyInstance, { config }: AppDependencies): void {
  const authenticator = new Authenticator(config.apiKeys);
  const policy = new OriginPolicy(config.corsOrigins, config.allowedHosts);
  app.decorateRequest("tenantId", "");
  app.addHook("onRequest", (request, reply, done) => {
    reply.header("x-request-id", request.id);
    // An upgrade that is refused loses its socket: no client may keep it for the next request.
    if (isUpgrade(request)) reply.header("connection", "close");
    try {
      policy.checkHost(request.raw);
      if (isUpgrade(request)) policy.checkUpgrade(request.raw);
      if (applyCors(request, reply, policy)) return;
      if (request.routeOptions.config.isPublic !== true) {
        request.tenantId = authenticator.authenticate(request.headers);
      }
      done();
    } catch (error) {
      done(error as Error);
    }
  });
}

function isUpgrade(request: FastifyRequest): boolean {
  return request.headers.upgrade !== undefined;
}

/** nginx's status for a client that left before its answer was complete. */
const clientClosedRequest = 499;

/** One line and one count for each request, also of one whose client left; never what it says. */
function registerAccessLog(app: FastifyInstance, { telemetry }: AppDependencies): void {
  app.addHook("onRequest", (request, reply, done) => {
    reply.raw.on("close", () => {
      const { writableFinished, statusCode } = reply.raw;
      // An open WebSocket has metrics of its own.
      if (isUpgrade(request) && !writableFinished) return;
      const exchange = {
        handler: request.routeOptions.url ?? "none",
        method: request.method,
        status: writableFinished ? statusCode : clientClosedRequest,
        durationMs: Math.round(reply.elapsedTime * 1000) / 1000,
      };
      telemetry.server.onHttpExchange(exchange);
      request.log.info(exchange, "request");
    });
    done();
  });
}
