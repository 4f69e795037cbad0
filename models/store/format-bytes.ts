const UNITS = ["B", "kB", "MB", "GB", "TB"] as const;

/** Decimal units, three significant digits: 98362432 is "98.4 MB". */
export function formatBytes(numBytes: number): string {
  const step = numBytes < 1000 ? 0 : Math.min(Math.floor(Math.log10(numBytes) / 3), UNITS.length - 1);
  const scaled = numBytes / 1000 ** step;
  return `${step === 0 ? scaled : Number(scaled.toPrecision(3))} ${UNITS[step]}`;
}
