import { TokenAttribute } from "./abi.ts";
import type { LlamaFunctions } from "./functions.ts";
import { loadVocabularyLibrary } from "./library.ts";
import type { LibraryLogger } from "./library-log.ts";
import { Model } from "./model.ts";

/** What the server needs to know of a vocabulary. Plain JSON. */
export interface VocabularyInfo {
  readonly size: number;
  /** Bytes of each token as a string of code units 0 to 255 ("latin1"); control tokens give their text. */
  readonly pieces: readonly string[];
  /** Tokens that steer the model and are no text of an answer, such as <|im_start|>. */
  readonly controlTokenIds: readonly number[];
  /** Texts that the tokenizer recognizes as one token when special parsing is on: control and user-defined tokens. */
  readonly specialTokens: readonly { readonly id: number; readonly text: string }[];
  readonly eogTokenIds: readonly number[];
  readonly bosTokenId: number | null;
  readonly eosTokenId: number | null;
  readonly eotTokenId: number | null;
  readonly bosText: string;
  readonly eosText: string;
  /** The tokenizer puts bos in front (addSpecial). */
  readonly addBos: boolean;
  readonly addEos: boolean;
  /** Jinja source of the GGUF, or null. */
  readonly chatTemplate: string | null;
}

export interface TokenizeOptions {
  /** Adds bos (and eos) where the model asks for it. */
  readonly addSpecial: boolean;
  /** Reads the text of special tokens as these tokens; off, it stays plain text. */
  readonly parseSpecial: boolean;
}

export class TokenizeError extends Error {
  override readonly name = "TokenizeError";
}

const INITIAL_PIECE_BYTES = 256;
const ignoreLog: LibraryLogger = () => undefined;

/** Tokenizer of one GGUF file, without its weights. */
export class Vocabulary {
  readonly size: number;
  readonly #llama: LlamaFunctions;
  readonly #model: Model;
  #tokens = new Int32Array(4096);

  private constructor(llama: LlamaFunctions, model: Model) {
    this.#llama = llama;
    this.#model = model;
    this.size = llama.llama_vocab_n_tokens(model.vocab);
  }

  /** Throws ModelLoadError or LibraryError. */
  static load(path: string, logger: LibraryLogger = ignoreLog): Vocabulary {
    const library = loadVocabularyLibrary(logger);
    return new Vocabulary(library.llama, Model.load(library, { path, vocabularyOnly: true, onGpu: false }));
  }

  tokenize(text: string, options: TokenizeOptions): number[] {
    const bytes = new TextEncoder().encode(text);
    let count = this.#tokenizeInto(bytes, options);
    if (count < 0 && count !== -(2 ** 31)) {
      this.#tokens = new Int32Array(-count);
      count = this.#tokenizeInto(bytes, options);
    }
    if (count < 0) throw new TokenizeError(`The text of ${bytes.length} bytes cannot be tokenized.`);
    return Array.from(this.#tokens.subarray(0, count));
  }

  describe(): VocabularyInfo {
    const { bos, eos, eot } = this.#boundaryTokens();
    const ids = Array.from({ length: this.size }, (_, id) => id);
    const pieces = ids.map((id) => Buffer.from(this.piece(id)).toString("latin1"));
    const text = (id: number | null): string =>
      id === null ? "" : Buffer.from(pieces[id] ?? "", "latin1").toString("utf8");
    const isSpecial = (id: number): boolean =>
      (this.#attributes(id) &
        (TokenAttribute.control | TokenAttribute.userDefined | TokenAttribute.unknown)) !==
      0;
    return {
      size: this.size,
      pieces,
      controlTokenIds: ids.filter((id) => this.#llama.llama_vocab_is_control(this.#model.vocab, id)),
      specialTokens: ids.filter(isSpecial).map((id) => ({ id, text: text(id) })),
      eogTokenIds: ids.filter((id) => this.#llama.llama_vocab_is_eog(this.#model.vocab, id)),
      bosTokenId: bos,
      eosTokenId: eos,
      eotTokenId: eot,
      bosText: text(bos),
      eosText: text(eos),
      addBos: this.#llama.llama_vocab_get_add_bos(this.#model.vocab),
      addEos: this.#llama.llama_vocab_get_add_eos(this.#model.vocab),
      chatTemplate: this.#llama.llama_model_chat_template(this.#model.pointer, null),
    };
  }

  /** Exact bytes of one token. Byte tokens give their one byte, so a character may be spread over several. */
  piece(tokenId: number): Uint8Array {
    const render = (buffer: Uint8Array): number =>
      this.#llama.llama_token_to_piece(this.#model.vocab, tokenId, buffer, buffer.length, 0, true);
    let buffer = new Uint8Array(INITIAL_PIECE_BYTES);
    let length = render(buffer);
    if (length < 0) {
      buffer = new Uint8Array(-length);
      length = render(buffer);
    }
    return buffer.slice(0, length);
  }

  close(): void {
    this.#model.close();
  }

  #tokenizeInto(bytes: Uint8Array, { addSpecial, parseSpecial }: TokenizeOptions): number {
    const { vocab } = this.#model;
    const tokens = this.#tokens;
    return this.#llama.llama_tokenize(
      vocab,
      bytes,
      bytes.length,
      tokens,
      tokens.length,
      addSpecial,
      parseSpecial,
    );
  }

  #boundaryTokens(): { bos: number | null; eos: number | null; eot: number | null } {
    const known = (id: number): number | null => (id >= 0 && id < this.size ? id : null);
    const { vocab } = this.#model;
    return {
      bos: known(this.#llama.llama_vocab_bos(vocab)),
      eos: known(this.#llama.llama_vocab_eos(vocab)),
      eot: known(this.#llama.llama_vocab_eot(vocab)),
    };
  }

  #attributes(tokenId: number): number {
    return this.#llama.llama_vocab_get_attr(this.#model.vocab, tokenId);
  }
}
