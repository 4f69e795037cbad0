/** Values compared at once with the best so far: nearly always none is better, and one branch for all is cheap. */
const STRIDE = 8;

/** Index of the largest value; the lowest one on a tie. NaN never wins. 0 when there is no number at all. */
export function argmax(values: Float32Array): number {
  let best = 0;
  let bestValue = -Infinity;
  for (let start = 0; start < values.length; start += STRIDE) {
    if (!mayExceed(values, start, bestValue)) continue;
    const end = Math.min(start + STRIDE, values.length);
    for (let index = start; index < end; index += 1) {
      const value = values[index]!;
      if (value > bestValue) {
        bestValue = value;
        best = index;
      }
    }
  }
  return best;
}

/**
 * Indices of the `count` largest values, descending, lower index first on a tie; fewer when fewer are above -Infinity.
 * One pass with a min-heap of the best so far, whose root nearly every value fails to exceed.
 */
export function selectTop(values: Float32Array, count: number): number[] {
  const heap: number[] = [];
  let threshold = -Infinity;
  for (let start = 0; start < values.length; start += STRIDE) {
    if (!mayExceed(values, start, threshold)) continue;
    const end = Math.min(start + STRIDE, values.length);
    for (let index = start; index < end; index += 1) {
      if (!(values[index]! > threshold)) continue;
      if (heap.length < count) siftUp(heap, values, index);
      else replaceRoot(heap, values, index);
      if (heap.length === count) threshold = values[heap[0]!]!;
    }
  }
  return heap.sort((a, b) => values[b]! - values[a]! || a - b);
}

/** Whether one of STRIDE values from `start` on exceeds `bound`; always true for the incomplete last stride. */
function mayExceed(values: Float32Array, start: number, bound: number): boolean {
  return (
    start + STRIDE > values.length ||
    values[start]! > bound ||
    values[start + 1]! > bound ||
    values[start + 2]! > bound ||
    values[start + 3]! > bound ||
    values[start + 4]! > bound ||
    values[start + 5]! > bound ||
    values[start + 6]! > bound ||
    values[start + 7]! > bound
  );
}

/** True when `a` leaves the heap before `b`. */
function isWorse(values: Float32Array, a: number, b: number): boolean {
  const difference = values[a]! - values[b]!;
  return difference < 0 || (difference === 0 && a > b);
}

function siftUp(heap: number[], values: Float32Array, added: number): void {
  let place = heap.length;
  heap.push(added);
  while (place > 0) {
    const parent = (place - 1) >> 1;
    if (!isWorse(values, added, heap[parent]!)) break;
    heap[place] = heap[parent]!;
    place = parent;
  }
  heap[place] = added;
}

function replaceRoot(heap: number[], values: Float32Array, added: number): void {
  let place = 0;
  for (;;) {
    let child = 2 * place + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && isWorse(values, heap[child + 1]!, heap[child]!)) child += 1;
    if (!isWorse(values, heap[child]!, added)) break;
    heap[place] = heap[child]!;
    place = child;
  }
  heap[place] = added;
}
