import { Detokenizer, type DetokenizerOptions } from "./detokenizer.ts";
import { StopMatcher, type StopMatcherOptions } from "./stop-matcher.ts";

export type OutputAssemblerOptions = DetokenizerOptions & StopMatcherOptions;

export interface AssembledOutput {
  /** Whole characters, and no part of a stop string. */
  readonly text: string;
  /** The stop string that ended the output with this token. */
  readonly stopped: string | null;
}

/** One choice's way from tokens to the text its client sees. */
export class OutputAssembler {
  readonly #detokenizer: Detokenizer;
  readonly #stopMatcher: StopMatcher;
  #ended = false;

  constructor(options: OutputAssemblerOptions) {
    this.#detokenizer = new Detokenizer(options);
    this.#stopMatcher = new StopMatcher(options);
  }

  /** Tokens after a stop string give no text: the engine may have computed one more before it was told. */
  push(tokenId: number): AssembledOutput {
    if (this.#ended) return { text: "", stopped: null };
    const text = this.#detokenizer.push(tokenId);
    if (text === "") return { text, stopped: null };
    const { text: released, stopString } = this.#stopMatcher.push(text);
    this.#ended = stopString !== null;
    return { text: released, stopped: stopString };
  }

  /** The output is over without a stop string: text held back is given out, half a character is dropped. */
  finish(): string {
    this.#ended = true;
    return this.#stopMatcher.finish();
  }
}
