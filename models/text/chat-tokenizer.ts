import type { VocabularyInfo } from "../llama/vocabulary.ts";
import { ChatTemplate } from "./chat-template.ts";
import { ChatTemplateError } from "./chat-template-error.ts";
import type { ChatTemplateInput } from "./chat-input.ts";
import type { GuardedTokenizer } from "./guarded-tokenizer.ts";
import { specialTokenTexts } from "./text-vocabulary.ts";

export interface TokenizedChat {
  readonly tokenIds: number[];
  /** The prompt as text. */
  readonly text: string;
}

/** From a conversation to tokens: only the template's own words become control tokens. */
export class ChatTokenizer {
  readonly #tokenizer: GuardedTokenizer;
  readonly #info: VocabularyInfo;
  readonly #template: ChatTemplate;

  /** `template` is Jinja source. Throws ChatTemplateError when it cannot be read. */
  constructor(tokenizer: GuardedTokenizer, info: VocabularyInfo, template: string) {
    this.#tokenizer = tokenizer;
    this.#info = info;
    this.#template = new ChatTemplate({
      source: template,
      bosToken: info.bosText,
      eosToken: info.eosText,
      specialTexts: specialTokenTexts(info),
    });
  }

  /** `maxPromptLength` is in UTF-16 units. Throws ChatTemplateError. */
  tokenize(input: ChatTemplateInput, maxPromptLength: number): TokenizedChat {
    const hidden = this.#template.hiddenField(input.messages);
    if (hidden !== null) {
      throw new ChatTemplateError(`The model's chat template does not show '${hidden}'.`, hidden);
    }
    const segments = this.#template.render(input, maxPromptLength);
    const tokenIds = segments.flatMap(({ text, parseSpecial }, index) =>
      this.#tokenizer.tokenizePart(text, { isFirst: index === 0, parseSpecial }),
    );
    return { tokenIds: this.#withBos(tokenIds), text: segments.map(({ text }) => text).join("") };
  }

  /** Many templates print BOS themselves, others leave it to the tokenizer. */
  #withBos(tokenIds: number[]): number[] {
    const { addBos, bosTokenId } = this.#info;
    return addBos && bosTokenId !== null && tokenIds[0] !== bosTokenId ? [bosTokenId, ...tokenIds] : tokenIds;
  }
}
