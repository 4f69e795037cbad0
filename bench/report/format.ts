/** A duration with three significant digits: '4.56 ms', '1.23 s'. */
export function formatMs(valueMs: number): string {
  if (!Number.isFinite(valueMs)) return "-";
  if (valueMs >= 10_000) return `${(valueMs / 1000).toFixed(1)} s`;
  if (valueMs >= 1000) return `${(valueMs / 1000).toFixed(2)} s`;
  if (valueMs >= 100) return `${valueMs.toFixed(0)} ms`;
  return `${valueMs.toFixed(valueMs >= 10 ? 1 : 2)} ms`;
}

export function formatRate(value: number): string {
  if (value >= 100) return value.toFixed(0);
  return value.toFixed(value >= 10 ? 1 : 2);
}

export function formatPercent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

/** Left-aligned first column, right-aligned others, two spaces between. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows)
    row.forEach((cell, column) => (widths[column] = Math.max(widths[column] ?? 0, cell.length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) =>
          column === 0 ? cell.padEnd(widths[0] as number) : cell.padStart(widths[column] as number),
        )
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
