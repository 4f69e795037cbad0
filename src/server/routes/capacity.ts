import type { FastifyInstance, FastifyRequest } from "fastify";
import { Type } from "typebox";
import { contextLengthExceeded } from "../api-error.ts";
import { capacityReport } from "../capacity.ts";
import { callerOf } from "../http/caller.ts";
import { wholeNumberOf } from "../http/query-numbers.ts";
import { schedulerReport } from "../scheduler-report.ts";
import { requireServable } from "../servable.ts";
import type { ServerContext } from "../server-context.ts";

const tags = ["Operations"];

const capacityQuery = Type.Object({
  prompt_tokens: Type.Optional(
    Type.Integer({
      minimum: 1,
      description: "With it the answer also tells what would become of such a request.",
    }),
  ),
  max_tokens: Type.Optional(Type.Integer({ minimum: 0 })),
  n: Type.Optional(Type.Integer({ minimum: 1, default: 1 })),
});

/** What fits and how long it would take, and what the scheduler is doing. Neither tells a word of a prompt. */
export function registerCapacityRoutes(app: FastifyInstance, context: ServerContext): void {
  const { engine } = context.dependencies;

  const capacitySchema = {
    querystring: capacityQuery,
    tags,
    summary: "Users that fit, and a request's wait",
  };
  app.get("/capacity", { schema: capacitySchema }, async (request) => {
    const model = requireServable(engine);
    const prediction = predict(request, context);
    const report = capacityReport({ model, snapshot: await engine.snapshot(), queue: engine.queue() });
    return prediction === null ? report : { ...report, prediction };
  });

  const debugSchema = { tags, summary: "Queue, batch, blocks by owner and the latest steps" };
  app.get("/debug/scheduler", { schema: debugSchema }, async () =>
    schedulerReport(engine.state, await engine.snapshot()),
  );
}

/** A request that is not made: null unless its prompt's length is given. */
function predict(request: FastifyRequest, { dependencies }: ServerContext) {
  const { engine, config } = dependencies;
  const { maxModelLen } = requireServable(engine);
  const promptTokens = wholeNumberOf(request, "prompt_tokens", 1);
  if (promptTokens === null) return null;
  const numSequences = wholeNumberOf(request, "n", 1) ?? 1;
  const room = maxModelLen - promptTokens;
  const maxTokens = wholeNumberOf(request, "max_tokens", 0) ?? Math.min(room, config.defaultMaxTokens);
  if (maxTokens > room || room < 1) throw tooLong(promptTokens, maxModelLen);
  const caller = callerOf(request);
  const forecast = engine.forecast({
    tenantId: caller.tenantId || (caller.fairnessId ?? ""),
    priority: caller.priority ?? 0,
    numSequences,
    numPromptTokens: promptTokens * numSequences,
    maxTokens,
  });
  return {
    queue_position: forecast.numAhead + 1,
    queue_ms: Math.round(forecast.queueMs),
    ttft_ms: Math.round(forecast.ttftMs),
    tpot_ms: Math.round(forecast.tpotMs * 100) / 100,
    // What it asks for is what it is taken to need.
    total_ms: Math.round(forecast.ttftMs + Math.max(0, maxTokens - 1) * forecast.tpotMs),
  };
}

function tooLong(numPromptTokens: number, maxModelLen: number) {
  const message = `The context holds ${maxModelLen} tokens, output included.`;
  return contextLengthExceeded(message, { param: "prompt_tokens", numPromptTokens, maxModelLen });
}
