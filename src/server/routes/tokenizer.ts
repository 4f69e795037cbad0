import type { FastifyInstance } from "fastify";
import { isUtf8 } from "node:buffer";
import { invalidValue } from "../api-error.ts";
import type { TextService } from "../dependencies.ts";
import { parseTemplateInput } from "../openai/chat-request.ts";
import { decodeLossy } from "../openai/logprobs.ts";
import {
  checkDetokenizeBody,
  checkTokenizeBody,
  detokenizeSchema,
  tokenizeSchema,
} from "../schemas/bodies.ts";
import type { TokenizeBody } from "../schemas/bodies.ts";
import { requireServable } from "../servable.ts";
import type { ServerContext } from "../server-context.ts";

const tags = ["Tokenizer"];

/** Text to tokens and back, in the shapes of vLLM (`prompt` or `messages`) and llama-server (`content`). */
export function registerTokenizerRoutes(app: FastifyInstance, context: ServerContext): void {
  const { text, engine } = context.dependencies;
  for (const prefix of ["", "/v1"]) {
    const hide = prefix !== "";
    const tokenizeRoute = { body: tokenizeSchema, tags, summary: "Text to tokens", hide };
    app.post(`${prefix}/tokenize`, { schema: tokenizeRoute }, async (request) => {
      const { maxModelLen } = requireServable(engine);
      const body = checkTokenizeBody(request.body);
      context.completions.requireModel(body.model ?? null);
      return answerTokenize(body, text, maxModelLen);
    });
    const detokenizeRoute = { body: detokenizeSchema, tags, summary: "Tokens to text", hide };
    app.post(`${prefix}/detokenize`, { schema: detokenizeRoute }, (request) => {
      requireServable(engine);
      const body = checkDetokenizeBody(request.body);
      context.completions.requireModel(body.model ?? null);
      const decoded = detokenize(body.tokens, text.vocabulary);
      return { prompt: decoded, content: decoded };
    });
  }
}

async function answerTokenize(body: TokenizeBody, text: TextService, maxModelLen: number): Promise<object> {
  const { pieces } = text.vocabulary;
  if (body.content !== undefined) {
    const options = { addSpecial: body.add_special ?? false, parseSpecial: body.parse_special ?? true };
    const tokens = await text.tokenize(body.content, options);
    if (body.with_pieces !== true) return { tokens };
    return { tokens: tokens.map((id) => ({ id, piece: pieceOf(pieces[id]) })) };
  }
  const tokens = await tokenizePrompt(body, text);
  const tokenStrings =
    body.return_token_strs === true ? tokens.map((id) => decodeLossy(pieces[id] ?? new Uint8Array())) : null;
  return { count: tokens.length, max_model_len: maxModelLen, tokens, token_strs: tokenStrings };
}

async function tokenizePrompt(body: TokenizeBody, text: TextService): Promise<number[]> {
  if (body.messages !== undefined) {
    const { messages } = body;
    return (await text.tokenizeChat(parseTemplateInput({ ...body, messages }))).tokenIds;
  }
  if (body.prompt === undefined) {
    throw invalidValue("prompt", "One of 'prompt', 'messages' and 'content' is required.");
  }
  return text.tokenize(body.prompt, { addSpecial: body.add_special_tokens ?? true, parseSpecial: true });
}

/** A piece that is no text of its own is shown as its bytes. */
function pieceOf(piece: Uint8Array = new Uint8Array()): string | number[] {
  return isUtf8(piece) ? decodeLossy(piece) : Array.from(piece);
}

/** Every token shows, control tokens too. The space that the tokenizer itself put before a text goes again. */
function detokenize(tokens: readonly number[], vocabulary: TextService["vocabulary"]): string {
  const bytes = tokens.map((tokenId) => {
    const piece = vocabulary.pieces[tokenId];
    if (piece === undefined) throw invalidValue("tokens", `Token id ${tokenId} is out of vocabulary.`);
    return piece;
  });
  const decoded = Buffer.concat(bytes).toString("utf8");
  return vocabulary.addSpacePrefix && decoded.startsWith(" ") ? decoded.slice(1) : decoded;
}
