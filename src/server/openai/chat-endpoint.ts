import { tokenizeToKeep } from "./cache-control.ts";
import { ChatFormat } from "./chat-format.ts";
import { textBytes } from "./chat-messages.ts";
import { parseChatRequest } from "./chat-request.ts";
import type { CompletionEndpoint, ParsedCompletion } from "./endpoint.ts";
import type { ParseContext } from "./generation-options.ts";
import { LogprobFormat } from "./logprobs.ts";

export const chatEndpoint: CompletionEndpoint = {
  name: "chat.completions",
  idPrefix: "chatcmpl-",
  parse: parseChat,
};

function parseChat(json: unknown, context: ParseContext): ParsedCompletion {
  const { options, template, cacheWishes } = parseChatRequest(json, context);
  return {
    options,
    numPrompts: 1,
    numReturnedChoices: options.numChoices,
    defaultMaxTokens: context.config.defaultMaxTokens,
    promptField: "messages",
    maxPromptTextBytes: textBytes(template.messages),
    continuesText: template.continueFinalMessage,
    tokenize: async (text) => [await tokenizeToKeep(template, cacheWishes, text)],
    format: (identity) => {
      const wantsLogprobs = options.sampling.topLogprobs !== null;
      const { tokensAsTokenIds } = options.output;
      return new ChatFormat(
        identity,
        wantsLogprobs ? new LogprobFormat(context.pieces, tokensAsTokenIds) : null,
      );
    },
  };
}
