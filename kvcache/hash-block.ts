/** 32-bit hash of tokens [start, end), FNV-1a over whole token ids with a final mix. */
export function hashBlock(tokens: readonly number[], start: number, end: number): number {
  let hash = 0x811c9dc5;
  for (let index = start; index < end; index += 1) {
    hash = Math.imul(hash ^ tokens[index]!, 0x01000193);
    hash ^= hash >>> 15;
  }
  return hash >>> 0;
}
