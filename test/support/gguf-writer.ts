/** Value types of GGUF metadata by their ids in the format. */
const TYPE_IDS = {
  u8: 0,
  i8: 1,
  u16: 2,
  i16: 3,
  u32: 4,
  i32: 5,
  f32: 6,
  bool: 7,
  text: 8,
  array: 9,
  u64: 10,
  f64: 12,
};

export interface GgufValue {
  readonly typeId: number;
  readonly bytes: Buffer;
}

export interface GgufTensor {
  readonly name: string;
  /** Innermost dimension first, as in the file. */
  readonly shape: readonly (number | bigint)[];
  /** ggml type id; default F32. */
  readonly typeId?: number;
  /** Default: where the tensor belongs. */
  readonly offset?: number | bigint;
  readonly data: Buffer;
}

/** Everything that a test may want to be wrong has a field of its own. */
export interface GgufContent {
  readonly magic?: string;
  readonly version?: number;
  readonly numTensors?: number | bigint;
  readonly numKeys?: number | bigint;
  readonly keys: readonly (readonly [key: string, value: GgufValue])[];
  readonly tensors: readonly GgufTensor[];
  readonly alignment?: number;
}

/** Bytes of a GGUF file (ggml/docs/gguf.md), sound or not. */
export function writeGguf(content: GgufContent): Buffer {
  const { keys, tensors, alignment = 32 } = content;
  const head = Buffer.concat([
    Buffer.from(content.magic ?? "GGUF"),
    uint32(content.version ?? 3),
    uint64(content.numTensors ?? tensors.length),
    uint64(content.numKeys ?? keys.length),
    ...keys.flatMap(([key, { typeId, bytes }]) => [textBytes(key), uint32(typeId), bytes]),
    ...describeTensors(tensors, alignment),
  ]);
  const parts = [head, ...tensors.map(({ data }) => data)];
  return Buffer.concat(parts.map((part, index) => (index < parts.length - 1 ? pad(part, alignment) : part)));
}

function describeTensors(tensors: readonly GgufTensor[], alignment: number): Buffer[] {
  let next = 0;
  return tensors.map(({ name, shape, typeId = 0, offset, data }) => {
    const description = [
      textBytes(name),
      uint32(shape.length),
      ...shape.map(uint64),
      uint32(typeId),
      uint64(offset ?? next),
    ];
    next += Math.ceil(data.length / alignment) * alignment;
    return Buffer.concat(description);
  });
}

function pad(bytes: Buffer, alignment: number): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((alignment - (bytes.length % alignment)) % alignment)]);
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

export function uint64(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

export function textBytes(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([uint64(bytes.length), bytes]);
}

export const u32 = (value: number): GgufValue => ({ typeId: TYPE_IDS.u32, bytes: uint32(value) });
export const u64 = (value: number | bigint): GgufValue => ({ typeId: TYPE_IDS.u64, bytes: uint64(value) });
export const text = (value: string): GgufValue => ({ typeId: TYPE_IDS.text, bytes: textBytes(value) });
export const bool = (value: boolean): GgufValue => ({
  typeId: TYPE_IDS.bool,
  bytes: Buffer.from([Number(value)]),
});

export function u16(value: number): GgufValue {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return { typeId: TYPE_IDS.u16, bytes };
}

export function f32(value: number): GgufValue {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return { typeId: TYPE_IDS.f32, bytes };
}

/** An array of values that all have the type of the first. */
export function array(values: readonly GgufValue[], length: number | bigint = values.length): GgufValue {
  const typeId = values[0]?.typeId ?? TYPE_IDS.u32;
  const bytes = Buffer.concat([uint32(typeId), uint64(length), ...values.map((value) => value.bytes)]);
  return { typeId: TYPE_IDS.array, bytes };
}

type Keys = Readonly<Record<string, GgufValue>>;

/** Metadata of a small llama model with a chat template; `changes` replace or add keys. */
export function llamaKeys(changes: Keys = {}): [string, GgufValue][] {
  const keys: Keys = {
    "general.architecture": text("llama"),
    "general.name": text("Tiny"),
    "general.license": text("mit"),
    "general.file_type": u32(0),
    "llama.block_count": u32(2),
    "llama.context_length": u32(2048),
    "llama.embedding_length": u32(64),
    "llama.feed_forward_length": u32(128),
    "llama.attention.head_count": u32(4),
    "llama.attention.head_count_kv": u32(2),
    "llama.rope.dimension_count": u32(16),
    "llama.rope.freq_base": f32(10_000),
    "tokenizer.ggml.model": text("gpt2"),
    "tokenizer.ggml.pre": text("default"),
    "tokenizer.ggml.tokens": array(["a", "b", "<s>", "</s>"].map(text)),
    "tokenizer.ggml.bos_token_id": u32(2),
    "tokenizer.ggml.eos_token_id": u32(3),
    "tokenizer.chat_template": text("{% for message in messages %}{{ message.content }}{% endfor %}"),
    ...changes,
  };
  return Object.entries(keys);
}

/** An F32 tensor of zeros. */
export function tensor(name: string, shape: readonly number[]): GgufTensor {
  const numElements = shape.reduce((product, dimension) => product * dimension, 1);
  return { name, shape, data: Buffer.alloc(4 * numElements) };
}

/** A whole small model file. It has the shape of a llama model, but not all of its tensors. */
export function smallGguf(changes: Partial<GgufContent> = {}): Buffer {
  const tensors = [tensor("token_embd.weight", [64, 4]), tensor("output_norm.weight", [63])];
  return writeGguf({ keys: llamaKeys(), tensors, ...changes });
}
