import type { ByteReader } from "./byte-reader.ts";
import { GgufError, quote } from "./gguf-error.ts";
import type { TensorType } from "./tensor-type.ts";
import { tensorTypeById } from "./tensor-type.ts";

export interface TensorInfo {
  readonly name: string;
  readonly shape: readonly number[];
  readonly type: TensorType;
  readonly numElements: number;
  readonly sizeBytes: number;
  /** From the start of the data section. */
  readonly offset: number;
}

/** libllama compares every tensor name with every other at load, so a huge count would stall it. */
const MAX_TENSORS = 65_536;
/** GGML_MAX_NAME less its closing zero. */
const MAX_NAME_BYTES = 63;
const MAX_DIMENSIONS = 4;
/** Name length, number of dimensions, type, offset. */
const MIN_TENSOR_INFO_BYTES = 8 + 4 + 4 + 8;

export function readTensorInfos(reader: ByteReader, numTensors: number): TensorInfo[] {
  requireTensorCount(reader, numTensors);
  const names = new Set<string>();
  const tensors: TensorInfo[] = [];
  for (let index = 0; index < numTensors; index += 1) {
    const tensor = readTensorInfo(reader, index);
    if (names.has(tensor.name))
      throw new GgufError("duplicate-tensor", `tensor ${quote(tensor.name)} occurs twice`);
    names.add(tensor.name);
    tensors.push(tensor);
  }
  return tensors;
}

/** Checked before the metadata are read too: a file that lies about this has nothing worth reading. */
export function requireTensorCount(reader: ByteReader, numTensors: number): void {
  const mostThatFit = Math.floor(reader.remainingBytes / MIN_TENSOR_INFO_BYTES);
  if (numTensors <= Math.min(mostThatFit, MAX_TENSORS)) return;
  throw new GgufError(
    "bad-count",
    `it claims ${numTensors} tensors; at most ${MAX_TENSORS} are accepted and ${mostThatFit} fit in the file`,
  );
}

function readTensorInfo(reader: ByteReader, index: number): TensorInfo {
  const name = readName(reader, index);
  const what = `the description of tensor ${quote(name)}`;
  const shape = readShape(reader, name);
  const typeId = reader.u32(what);
  const type = tensorTypeById(typeId);
  if (type === undefined)
    throw new GgufError("bad-tensor", `tensor ${quote(name)} has the unknown type ${typeId}`);
  const numElements = countElements(shape, name);
  const sizeBytes = measure({ name, shape, type, numElements });
  return { name, shape, type, numElements, sizeBytes, offset: reader.u64(what) };
}

function readName(reader: ByteReader, index: number): string {
  const what = `the name of tensor ${index}`;
  const numBytes = reader.u64(what);
  if (numBytes > MAX_NAME_BYTES) {
    throw new GgufError(
      "bad-tensor",
      `${what} claims ${numBytes} bytes; at most ${MAX_NAME_BYTES} are allowed`,
    );
  }
  return reader.text(numBytes, what);
}

function readShape(reader: ByteReader, name: string): number[] {
  const what = `the shape of tensor ${quote(name)}`;
  const numDimensions = reader.u32(what);
  if (numDimensions > MAX_DIMENSIONS) {
    throw new GgufError(
      "bad-tensor",
      `tensor ${quote(name)} has ${numDimensions} dimensions; at most 4 are possible`,
    );
  }
  return Array.from({ length: numDimensions }, () => reader.u64(what));
}

/** A dimension of zero is legal and makes an empty tensor. */
function countElements(shape: readonly number[], name: string): number {
  const numElements = shape.reduce((product, dimension) => product * dimension, 1);
  if (shape.every(Number.isSafeInteger) && Number.isSafeInteger(numElements)) return numElements;
  throw new GgufError("bad-tensor", `tensor ${quote(name)} has the impossible shape [${shape.join(", ")}]`);
}

function measure(tensor: Pick<TensorInfo, "name" | "shape" | "type" | "numElements">): number {
  const { name, type, numElements } = tensor;
  const rowLength = tensor.shape[0] ?? 1;
  if (rowLength % type.blockLength !== 0) {
    throw new GgufError(
      "bad-tensor",
      `tensor ${quote(name)} has rows of ${rowLength} elements, no multiple of the ${type.blockLength} of ${type.name}`,
    );
  }
  const sizeBytes = (numElements / type.blockLength) * type.blockBytes;
  if (Number.isSafeInteger(sizeBytes)) return sizeBytes;
  throw new GgufError("bad-tensor", `tensor ${quote(name)} would need ${sizeBytes} bytes`);
}

/** Where the tensors of one file lie. */
export interface DataSection {
  readonly start: number;
  readonly alignment: number;
  readonly fileSizeBytes: number;
}

/**
 * Tensors must follow one another in the order of their descriptions, each padded to the alignment, as
 * libllama demands (ggml/src/gguf.cpp); overlaps, gaps and data past the end of the file are refused.
 */
export function requireSoundLayout(tensors: readonly TensorInfo[], section: DataSection): void {
  let expected = 0;
  for (const tensor of tensors) {
    requireOffset(tensor, expected, section.alignment);
    const end = section.start + tensor.offset + tensor.sizeBytes;
    if (end > section.fileSizeBytes) {
      throw new GgufError(
        "data-outside-file",
        `the data of tensor ${quote(tensor.name)} end at byte ${end}, but the file has ${section.fileSizeBytes} bytes; it is cut off or damaged`,
      );
    }
    expected = alignUp(tensor.offset + tensor.sizeBytes, section.alignment);
  }
}

function requireOffset(tensor: TensorInfo, expected: number, alignment: number): void {
  if (tensor.offset === expected) return;
  const name = quote(tensor.name);
  if (tensor.offset % alignment !== 0) {
    throw new GgufError(
      "bad-offset",
      `tensor ${name} has offset ${tensor.offset}, no multiple of ${alignment}`,
    );
  }
  const fault =
    tensor.offset < expected ? "overlaps the tensor before it" : "leaves a gap after the tensor before it";
  throw new GgufError(
    "bad-offset",
    `tensor ${name} ${fault}: its offset is ${tensor.offset}, expected ${expected}`,
  );
}

export function alignUp(offset: number, alignment: number): number {
  return Math.ceil(offset / alignment) * alignment;
}
