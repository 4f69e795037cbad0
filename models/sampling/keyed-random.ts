/**
 * Philox2x32-10, a counter-based generator (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11):
 * the random numbers of a position are a pure function of its key, so preemption, replay and batching cannot move them.
 */
const MULTIPLIER = 0xd256d193;
const KEY_INCREMENT = 0x9e3779b9;
const NUM_ROUNDS = 10;

/** Two random 32-bit numbers for a 64-bit counter and a 32-bit key. */
export function philox2x32(counterLow: number, counterHigh: number, key: number): readonly [number, number] {
  let left = counterLow >>> 0;
  let right = counterHigh >>> 0;
  let roundKey = key >>> 0;
  for (let round = 0; round < NUM_ROUNDS; round += 1) {
    const nextLeft = (multiplyHigh(MULTIPLIER, left) ^ roundKey ^ right) >>> 0;
    right = Math.imul(MULTIPLIER, left) >>> 0;
    left = nextLeft;
    roundKey = (roundKey + KEY_INCREMENT) >>> 0;
  }
  return [left, right];
}

/** Uniform in [0, 1) with 53 random bits. */
export function keyedUniform(seed: number, choiceIndex: number, position: number): number {
  const [left, right] = philox2x32(position, choiceIndex, seed);
  return ((left >>> 5) * 2 ** 26 + (right >>> 6)) / 2 ** 53;
}

/** Upper 32 bits of the product of two unsigned 32-bit numbers. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + Math.floor((aLow * bLow) / 0x10000);
  const middleLow = (middle % 0x10000) + aLow * bHigh;
  return (aHigh * bHigh + Math.floor(middle / 0x10000) + Math.floor(middleLow / 0x10000)) >>> 0;
}
