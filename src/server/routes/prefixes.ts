import { randomUUID } from "node:crypto";
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { GenerationRequest } from "../../engine/generation.ts";
import { ApiError, contextLengthExceeded, invalidValue } from "../api-error.ts";
import { cacheSaltOf } from "../cache-salt.ts";
import type { TextService } from "../dependencies.ts";
import { parseTemplateInput } from "../openai/chat-request.ts";
import { parseGenerationOptions } from "../openai/generation-options.ts";
import { PrefixRegistry } from "../prefix-registry.ts";
import type { RegisteredPrefix } from "../prefix-store.ts";
import { checkPrefixBody, type PrefixBody, prefixSchema } from "../schemas/prefix-body.ts";
import { requireServable } from "../servable.ts";
import type { ServerContext } from "../server-context.ts";

const tags = ["Prefixes"];
const defaultTtlSeconds = 3600;
/** Of what is computed again after a restart: nobody waits for it yet. */
const restorePriority = 100;

/** Prompts that are computed ahead and kept: a system prompt whose first reader shall not wait. */
export function registerPrefixRoutes(app: FastifyInstance, context: ServerContext): void {
  const { engine, prefixStore = null } = context.dependencies;
  const registry = new PrefixRegistry(engine, prefixStore);
  app.addHook("onReady", () => void restore(registry, context));

  const createRoute = { body: prefixSchema, tags, summary: "Compute a prompt and keep it cached" };
  app.post("/v1/prefixes", { schema: createRoute }, async (request, reply) => {
    const body = checkPrefixBody(request.body);
    context.completions.requireModel(body.model ?? null);
    registry.requireRoom(request.tenantId, Date.now());
    const prefix = await createPrefix(body, request, context);
    return reply.code(201).send(describe(await registry.add(prefix)));
  });

  app.get("/v1/prefixes", { schema: { tags, summary: "Prompts that are kept" } }, (request) => ({
    object: "list",
    data: registry.list(request.tenantId, Date.now()).map(describe),
  }));

  const deleteRoute = { tags, summary: "Keep a prompt no longer" };
  app.delete<{ Params: { id: string } }>("/v1/prefixes/:id", { schema: deleteRoute }, async (request) => {
    const { id } = request.params;
    if (!(await registry.remove(id, request.tenantId, Date.now()))) {
      throw new ApiError("There is no such prefix.", { status: 404, code: "prefix_not_found", param: "id" });
    }
    return { id, object: "prefix", deleted: true };
  });
}

async function createPrefix(
  body: PrefixBody,
  { tenantId }: FastifyRequest,
  context: ServerContext,
): Promise<Omit<RegisteredPrefix, "id">> {
  const { engine, text } = context.dependencies;
  const { maxModelLen } = requireServable(engine);
  const tokens = await tokenize(body, text);
  requireFitting(tokens.length, maxModelLen);
  const ttlMs = (body.ttl ?? defaultTtlSeconds) * 1000;
  const cacheSalt = cacheSaltOf(tenantId, body.cache_salt ?? "");
  await compute({ tokens, tenantId, cacheSalt, ttlMs }, 0, context);
  const createdAtMs = Date.now();
  const name = body.name ?? null;
  return { name, tenantId, tokens, cacheSalt, createdAtMs, expiresAtMs: createdAtMs + ttlMs };
}

/**
 * Computes the prefixes of an earlier run, one after another: what the disk has is only looked up, what it has lost or
 * never had is there again.
 */
async function restore(registry: PrefixRegistry, context: ServerContext): Promise<void> {
  for (const prefix of registry.current(Date.now())) {
    const ttlMs = prefix.expiresAtMs - Date.now();
    // Whatever stands against it, the next request computes what it needs.
    if (ttlMs > 0) await compute({ ...prefix, ttlMs }, restorePriority, context).catch(() => {});
  }
}

function requireFitting(numPromptTokens: number, maxModelLen: number): void {
  if (numPromptTokens === 0) throw invalidValue("prompt", "The prefix has no tokens.");
  if (numPromptTokens < maxModelLen) return;
  const message = `The prefix has ${numPromptTokens} tokens, which leaves no room in the model's context of ${maxModelLen}.`;
  throw contextLengthExceeded(message, { param: "prompt", numPromptTokens, maxModelLen });
}

async function tokenize(body: PrefixBody, text: TextService): Promise<readonly number[]> {
  const { messages, prompt } = body;
  if ((messages === undefined) === (prompt === undefined)) {
    throw invalidValue("prompt", "Exactly one of 'messages' and 'prompt' is required.");
  }
  if (prompt !== undefined) return text.tokenize(prompt, { addSpecial: true, parseSpecial: true });
  const chat = parseTemplateInput({ messages: messages ?? [], add_generation_prompt: false });
  return (await text.tokenizeChat(chat)).tokenIds;
}

interface PrefixToCompute {
  readonly tokens: readonly number[];
  readonly tenantId: string;
  readonly cacheSalt: string;
  readonly ttlMs: number;
}

/** Resolves when the prompt is computed and pinned. Rejects with GenerationError. */
async function compute(
  { tokens, tenantId, cacheSalt, ttlMs }: PrefixToCompute,
  priority: number,
  { dependencies: { engine, text, config } }: ServerContext,
): Promise<void> {
  const { sampling } = parseGenerationOptions(
    {},
    { topLogprobs: null, promptLogprobs: null },
    { config, pieces: text.vocabulary.pieces },
  );
  const request: GenerationRequest = {
    requestId: `prefix-${randomUUID()}`,
    prompts: [{ tokenIds: tokens, pin: { numTokens: tokens.length, ttlMs } }],
    numChoices: 1,
    sampling,
    maxTokens: 0,
    stopStrings: [],
    includeStopString: false,
    priority,
    tenantId,
    cacheSalt,
  };
  return new Promise((resolve, reject) => {
    engine.generate(request, {
      onDelta: () => {},
      onChoiceEnd: () => {},
      onEnd: () => resolve(),
      onError: reject,
    });
  });
}

function describe({ id, name, tokens, createdAtMs, expiresAtMs }: RegisteredPrefix): object {
  return {
    id,
    object: "prefix",
    name,
    num_tokens: tokens.length,
    created: Math.floor(createdAtMs / 1000),
    expires_at: Math.floor(expiresAtMs / 1000),
  };
}
