/** What a model file says about itself; read before libllama sees the file. Plain JSON. */
export interface GgufFacts {
  /** All files of the model in order; one unless it is split. */
  readonly files: readonly string[];
  readonly version: number;
  readonly architecture: string;
  readonly name: string | null;
  readonly license: string | null;
  readonly numParameters: number;
  /** Bytes of all weights, padding excluded. */
  readonly weightsBytes: number;
  /** Bytes of all files. */
  readonly sizeBytes: number;
  /** Name of the file type ("Q4_K_M"); the dominant tensor type where the file names none. */
  readonly quantization: string;
  /** The tensor type that holds the most bytes. */
  readonly dominantTensorType: string;
  /** Tokens the model was trained for; null where the file does not say. */
  readonly contextLength: number | null;
  readonly embeddingLength: number;
  readonly numLayers: number;
  readonly numHeads: number;
  /** Key-value heads of each layer; 0 where a layer has no attention. */
  readonly numKvHeadsPerLayer: readonly number[];
  /** Elements of one key or value head. */
  readonly keyLength: number;
  readonly valueLength: number;
  /** Widest feed-forward layer; 0 where the file does not say. */
  readonly feedForwardLength: number;
  readonly vocabSize: number | null;
  /** Tokens that the windowed layers see; null for full attention everywhere. */
  readonly slidingWindow: number | null;
  readonly numExperts: number;
  readonly numExpertsUsed: number;
  readonly rope: RopeFacts;
  readonly tokenizer: TokenizerFacts;
  /** Jinja source; null for base models. */
  readonly chatTemplate: string | null;
  /** Keys are compressed and values are derived from them (multi-head latent attention): no value cache. */
  readonly usesLatentAttention: boolean;
  /** Has layers whose state is not a cache of tokens, so that it cannot be trimmed or shared by range. */
  readonly hasRecurrentState: boolean;
  /** False for encoders, which cannot generate text. */
  readonly isCausal: boolean;
}

export interface RopeFacts {
  readonly dimensionCount: number | null;
  readonly freqBase: number | null;
  readonly scalingType: string | null;
  readonly scalingFactor: number | null;
}

export interface TokenizerFacts {
  readonly model: string | null;
  readonly pre: string | null;
  readonly bosTokenId: number | null;
  readonly eosTokenId: number | null;
}
