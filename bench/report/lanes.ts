/**
 * The lowest free lane for each interval, so that intervals in one lane never overlap: as many lanes as
 * there are intervals at one moment. Intervals come in the order of their starts.
 */
export function inLanes(intervals: readonly (readonly [startMs: number, endMs: number])[]): number[] {
  const laneEndsMs: number[] = [];
  return intervals.map(([startMs, endMs]) => {
    const free = laneEndsMs.findIndex((laneEndMs) => laneEndMs <= startMs);
    const lane = free === -1 ? laneEndsMs.length : free;
    laneEndsMs[lane] = endMs;
    return lane;
  });
}
