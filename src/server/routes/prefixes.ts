import type { FastifyInstance, FastifyRequest } from "fastify";
import { ApiError, contextLengthExceeded, invalidValue } from "../api-error.ts";
import { cacheSaltOf } from "../cache-salt.ts";
import type { AppDependencies, TextService } from "../dependencies.ts";
import { watchDisconnect } from "../http/disconnect.ts";
import { parseTemplateInput } from "../openai/chat-request.ts";
import { PrefixComputation } from "../prefix-computation.ts";
import { PrefixRegistry, unpin } from "../prefix-registry.ts";
import { PrefixRestorer } from "../prefix-restorer.ts";
import type { RegisteredPrefix } from "../prefix-store.ts";
import { checkPrefixBody, type PrefixBody, prefixSchema } from "../schemas/prefix-body.ts";
import { requireServable } from "../servable.ts";
import type { ServerContext } from "../server-context.ts";

const tags = ["Prefixes"];
const defaultTtlSeconds = 3600;

interface Creation {
  readonly computation: PrefixComputation;
  readonly dependencies: AppDependencies;
}

/** Prompts that are computed ahead and kept: a system prompt whose first reader shall not wait. */
export function registerPrefixRoutes(app: FastifyInstance, context: ServerContext): void {
  const { dependencies } = context;
  const { engine, prefixStore = null } = dependencies;
  const registry = new PrefixRegistry(prefixStore);
  const restorer = new PrefixRestorer(registry, dependencies);
  app.addHook("onReady", () => void restorer.run());
  engine.onRestart(() => void restorer.run());

  const createRoute = { body: prefixSchema, tags, summary: "Compute a prompt and keep it cached" };
  app.post("/v1/prefixes", { schema: createRoute }, async (request, reply) => {
    const body = checkPrefixBody(request.body);
    context.completions.requireModel(body.model ?? null);
    requireKeeping(dependencies);
    const id = registry.reserve(request.tenantId, Date.now());
    const computation = new PrefixComputation();
    watchDisconnect(reply.raw, computation, dependencies.telemetry.server);
    try {
      const prefix = await createPrefix(id, body, request, { computation, dependencies });
      await registry.add(prefix);
      return await reply.code(201).send(describe(prefix));
    } finally {
      registry.release(id);
    }
  });

  app.get("/v1/prefixes", { schema: { tags, summary: "Prompts that are kept" } }, (request) => ({
    object: "list",
    data: registry.list(request.tenantId, Date.now()).map(describe),
  }));

  const deleteRoute = { tags, summary: "Keep a prompt no longer" };
  app.delete<{ Params: { id: string } }>("/v1/prefixes/:id", { schema: deleteRoute }, async (request) => {
    const { id } = request.params;
    const removed = await registry.remove(id, request.tenantId, Date.now());
    if (removed === null) {
      throw new ApiError("There is no such prefix.", { status: 404, code: "prefix_not_found", param: "id" });
    }
    unpin(removed, engine);
    return { id, object: "prefix", deleted: true };
  });
}

function requireKeeping({ engine, config: { keepsPrefixes } }: AppDependencies): void {
  if (requireServable(engine).capabilities.canShare && keepsPrefixes) return;
  const reason = keepsPrefixes ? "its model cannot share them" : "its prefix cache is off";
  const message = `This server keeps no prefixes: ${reason}.`;
  throw new ApiError(message, { status: 400, code: "prefixes_not_kept" });
}

/** Resolves when the prompt is computed and pinned. Rejects when its client has left meanwhile. */
async function createPrefix(
  id: string,
  body: PrefixBody,
  { tenantId }: FastifyRequest,
  { computation, dependencies }: Creation,
): Promise<RegisteredPrefix> {
  const { engine, text } = dependencies;
  const { maxModelLen } = requireServable(engine);
  const tokens = await tokenize(body, text);
  requireFitting(tokens.length, maxModelLen);
  const ttlMs = (body.ttl ?? defaultTtlSeconds) * 1000;
  const prompt = { id, tokens, tenantId, cacheSalt: cacheSaltOf(tenantId, body.cache_salt ?? "") };
  try {
    await computation.run({ ...prompt, ttlMs, priority: 0 }, dependencies);
  } catch (error) {
    unpin(prompt, engine);
    throw error;
  }
  const createdAtMs = Date.now();
  return { ...prompt, name: body.name ?? null, createdAtMs, expiresAtMs: createdAtMs + ttlMs };
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
