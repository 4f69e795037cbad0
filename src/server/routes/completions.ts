import type { OutgoingHttpHeaders } from "node:http";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { CompletionCall, PreparedCall } from "../completion-call.ts";
import { chunkStream } from "../delivery/chunk-stream.ts";
import { CompletionFold } from "../delivery/completion-fold.ts";
import { SseChannel } from "../delivery/sse-channel.ts";
import { streamFlow } from "../delivery/stream-flow.ts";
import { callerOf } from "../http/caller.ts";
import { watchDisconnect } from "../http/disconnect.ts";
import { chatEndpoint } from "../openai/chat-endpoint.ts";
import type { CompletionEndpoint } from "../openai/endpoint.ts";
import { textEndpoint } from "../openai/text-endpoint.ts";
import { chatCompletionSchema, completionSchema } from "../schemas/bodies.ts";
import { withLimits } from "../schemas/configured-limits.ts";
import { chatCompletionAnswer, completionAnswer, errorSchema } from "../schemas/responses.ts";
import type { ServerContext } from "../server-context.ts";

/** Routes that generate text. */
export function registerCompletionRoutes(app: FastifyInstance, context: ServerContext): void {
  const { config } = context.dependencies;
  const tags = ["Completions"];
  for (const prefix of ["/v1", ""]) {
    const chatSchema = {
      body: withLimits(chatCompletionSchema, config),
      response: { 200: chatCompletionAnswer, default: errorSchema },
      tags,
      summary: "Answer a conversation",
    };
    app.post(`${prefix}/chat/completions`, { schema: hideAlias(chatSchema, prefix) }, (request, reply) =>
      complete(chatEndpoint, context, request, reply),
    );
    const textSchema = {
      body: withLimits(completionSchema, config),
      response: { 200: completionAnswer, default: errorSchema },
      tags,
      summary: "Continue a text",
    };
    app.post(`${prefix}/completions`, { schema: hideAlias(textSchema, prefix) }, (request, reply) =>
      complete(textEndpoint, context, request, reply),
    );
  }
}

/** The document shows each endpoint once, under /v1. */
function hideAlias<Schema extends object>(schema: Schema, prefix: string): Schema & { hide: boolean } {
  return { ...schema, hide: prefix === "" };
}

async function complete(
  endpoint: CompletionEndpoint,
  context: ServerContext,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  const call = context.completions.open(endpoint, request.body, callerOf(request));
  watchDisconnect(reply.raw, call, context.dependencies.telemetry.server);
  try {
    const prepared = await call.prepare();
    if (!call.parsed.options.output.stream) return await collectBody(call, prepared);
    const channel = openChannel(call, context, reply);
    call.run(prepared.request, chunkStream(call, prepared, channel));
    // From here on the answer belongs to the channel; Fastify only sees it end.
    reply.hijack();
    return reply;
  } catch (error) {
    call.finish();
    throw error;
  }
}

function collectBody(call: CompletionCall, { request, format }: PreparedCall): Promise<object> {
  const fold = new CompletionFold({
    format,
    numChoices: request.numChoices,
    numReturnedChoices: call.parsed.numReturnedChoices,
    onClosed: () => call.finish(),
  });
  call.run(request, fold);
  return fold.body;
}

function openChannel(call: CompletionCall, context: ServerContext, reply: FastifyReply): SseChannel {
  const { config, telemetry } = context.dependencies;
  return new SseChannel({
    response: reply.raw,
    headers: reply.getHeaders() as OutgoingHttpHeaders,
    limits: config.streamBuffer,
    pingIntervalMs: call.parsed.options.output.pingIntervalMs,
    flow: streamFlow(call, reply.raw, telemetry.server),
  });
}
