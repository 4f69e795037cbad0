import { EventSourceParserStream } from "eventsource-parser/stream";

export interface ChatMessage {
  readonly role: "system" | "user" | "assistant";
  readonly content: string;
}

/** A server to chat with, by the OpenAI protocol. */
export interface ChatServer {
  /** Without a path, such as http://127.0.0.1:8000. */
  readonly url: string;
  readonly apiKey: string | null;
}

/** Only what the user chose; the server has its own defaults. */
export interface ChatSampling {
  readonly temperature?: number;
  readonly maxTokens?: number;
}

export interface ChatRequest extends ChatSampling {
  readonly model: string;
  readonly messages: readonly ChatMessage[];
}

/** A request to the server failed; one sentence, the server's own where it gave one. */
export class ChatError extends Error {
  override readonly name = "ChatError";
}

/** Ids of the models the server offers. */
export async function listModelIds(server: ChatServer, signal?: AbortSignal): Promise<readonly string[]> {
  const response = await request(server, "/v1/models", { ...(signal && { signal }) });
  const { data } = (await response.json()) as { readonly data: readonly { readonly id: string }[] };
  return data.map(({ id }) => id);
}

/** Yields the answer's text as it arrives. Ends quietly, with what there was, when the signal aborts. */
export async function* streamAnswer(
  server: ChatServer,
  { model, messages, temperature, maxTokens }: ChatRequest,
  signal: AbortSignal,
): AsyncGenerator<string> {
  const body = JSON.stringify({ model, messages, temperature, max_tokens: maxTokens, stream: true });
  try {
    const response = await request(server, "/v1/chat/completions", { method: "POST", body, signal });
    yield* readDeltas(response);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

async function* readDeltas(response: Response): AsyncGenerator<string> {
  if (!response.body) throw new ChatError("the server sent an empty answer");
  const events = response.body
    .pipeThrough(new TextDecoderStream())
    .pipeThrough(new EventSourceParserStream());
  for await (const { data } of events) {
    if (data === "[DONE]") return;
    const chunk = JSON.parse(data) as StreamChunk;
    if (chunk.error) throw new ChatError(chunk.error.message);
    const text = chunk.choices?.[0]?.delta?.content;
    if (text) yield text;
  }
  throw new ChatError("the server closed the connection in the middle of its answer");
}

interface StreamChunk {
  readonly error?: { readonly message: string };
  readonly choices?: readonly { readonly delta?: { readonly content?: string | null } }[];
}

async function request(server: ChatServer, path: string, init: RequestInit): Promise<Response> {
  const response = await fetch(new URL(path, server.url), {
    ...init,
    headers: {
      "content-type": "application/json",
      ...(server.apiKey && { authorization: `Bearer ${server.apiKey}` }),
    },
  }).catch((error: Error) => {
    if (error.name === "AbortError") throw error;
    const { code } = (error.cause ?? {}) as { readonly code?: string };
    throw new ChatError(`no server answers at ${server.url} (${code ?? error.message})`);
  });
  if (!response.ok) throw new ChatError(await explainStatus(response));
  return response;
}

async function explainStatus(response: Response): Promise<string> {
  const text = await response.text();
  try {
    return (JSON.parse(text) as { readonly error: { readonly message: string } }).error.message;
  } catch {
    return `the server answered ${response.status} ${response.statusText}`;
  }
}
