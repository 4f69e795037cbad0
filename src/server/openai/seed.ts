/** Folds a whole number of up to 64 bits to an unsigned 32-bit seed; those below 2^32 stay as they are. */
export function foldSeed(seed: number): number {
  const bits = BigInt.asUintN(64, BigInt(seed));
  return Number((bits ^ (bits >> 32n)) & 0xffffffffn);
}

export function randomSeed(): number {
  return Math.floor(Math.random() * 2 ** 32);
}
