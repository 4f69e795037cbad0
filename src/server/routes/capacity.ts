import type { FastifyInstance, FastifyRequest } from "fastify";
import { Type } from "typebox";
import type { Forecast, ProspectiveRequest } from "../../engine/generation.ts";
import { numTokensToCompute, promptSize, sharedBlockSize } from "../../engine/prompt-size.ts";
import { boundPriority } from "../../../scheduler/urgency.ts";
import { type ApiError, contextLengthExceeded } from "../api-error.ts";
import { capacityReport } from "../capacity.ts";
import type { AppDependencies } from "../dependencies.ts";
import { errorHeaders } from "../error-mapping.ts";
import { callerOf } from "../http/caller.ts";
import { wholeNumberOf } from "../http/query-numbers.ts";
import { schedulerReport } from "../scheduler-report.ts";
import { requireServable } from "../servable.ts";
import { shareHolder } from "../share-holder.ts";
import { maxDeadlineMs } from "../schemas/generation-fields.ts";
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
  deadline_ms: Type.Optional(Type.Integer({ minimum: 1, maximum: maxDeadlineMs })),
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
    const prospect = prospectOf(request, context.dependencies);
    const snapshot = await engine.snapshot();
    const report = capacityReport({ model, snapshot, queue: engine.queue() });
    if (prospect === null) return report;
    const prediction = predict(prospect, engine.forecast(prospect));
    return { ...report, prediction, admission: admissionReport(context.completions.refusalOf(prospect)) };
  });

  const debugSchema = { tags, summary: "Queue, batch, blocks by owner and the latest steps" };
  app.get("/debug/scheduler", { schema: debugSchema }, async () =>
    schedulerReport(engine.state, await engine.snapshot()),
  );
}

/** A request that is not made: null unless its prompt's length is given. */
function prospectOf(request: FastifyRequest, { engine, config }: AppDependencies): ProspectiveRequest | null {
  const model = requireServable(engine);
  const { maxModelLen } = model;
  const promptTokens = wholeNumberOf(request, "prompt_tokens", { minimum: 1 });
  const numSequences = wholeNumberOf(request, "n", { minimum: 1 }) ?? 1;
  const askedTokens = wholeNumberOf(request, "max_tokens", { minimum: 0 });
  const totalMs = wholeNumberOf(request, "deadline_ms", { minimum: 1, maximum: maxDeadlineMs });
  const caller = callerOf(request);
  if (promptTokens === null) return null;
  const room = maxModelLen - promptTokens;
  const maxTokens = askedTokens ?? Math.min(room, config.defaultMaxTokens);
  if (room < Math.min(1, askedTokens ?? 1)) throw tooLong("prompt_tokens", promptTokens, maxModelLen);
  if (maxTokens > room) throw tooLong("max_tokens", promptTokens, maxModelLen);
  const size = promptSize(promptTokens, 0, sharedBlockSize(model));
  return {
    tenantId: shareHolder(caller),
    priority: boundPriority(caller.priority ?? 0),
    numSequences,
    numPromptTokens: numTokensToCompute([size], numSequences),
    longestPrompt: promptTokens,
    maxTokens,
    targets: { ...caller.targets, ...(totalMs !== null && { totalMs }) },
  };
}

function predict({ maxTokens }: ProspectiveRequest, forecast: Forecast) {
  return {
    queue_position: forecast.numAhead + 1,
    queue_ms: Math.round(forecast.queueMs),
    ttft_ms: Math.round(forecast.ttftMs),
    tpot_ms: Math.round(forecast.tpotMs * 100) / 100,
    // What it asks for is what it is taken to need.
    total_ms: Math.round(forecast.ttftMs + Math.max(0, maxTokens - 1) * forecast.tpotMs),
  };
}

/** Status, headers and body of the answer that the request would get. */
function admissionReport(refusal: ApiError | null) {
  if (refusal === null) return { accepted: true };
  const headers = errorHeaders(refusal);
  return { accepted: false, status: refusal.status, headers, ...refusal.toBody() };
}

function tooLong(param: string, numPromptTokens: number, maxModelLen: number) {
  const message = `The context holds ${maxModelLen} tokens, output included.`;
  return contextLengthExceeded(message, { param, numPromptTokens, maxModelLen });
}
