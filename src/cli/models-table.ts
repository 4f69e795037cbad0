import { formatBytes } from "../../models/store/format-bytes.ts";
import type { StoredModel } from "../../models/store/store-entry.ts";
import type { ListedModel } from "./models.ts";

/** The catalogue for a terminal. */
export function catalogueTable(models: readonly ListedModel[]): string {
  const header = ["NAME", "SIZE", "LICENCE", "SHA-256", "HERE", "SOURCES"];
  const rows = models.map((model) => [
    model.isDefault ? `${model.name} (default)` : model.name,
    model.sizeBytes === null ? "-" : formatBytes(model.sizeBytes),
    model.licence,
    checksumColumn(model),
    model.path === null ? "no" : "yes",
    model.sources.length === 0 ? "comes with Headway" : model.sources.map(shortenRevision).join(", "),
  ]);
  return formatColumns([header, ...rows]);
}

function checksumColumn(model: ListedModel): string {
  if (model.sha256 !== null) return `${model.sha256.slice(0, 12)}…`;
  return model.sources.length === 0 ? "-" : "not pinned";
}

function shortenRevision(source: string): string {
  return source.replace(/@([0-9a-f]{8})[0-9a-f]{32}/, "@$1…");
}

export function fetchedTable(models: readonly StoredModel[]): string {
  return formatColumns(models.map(({ spec, files }) => [spec, formatBytes(sumSizes(files))]));
}

function sumSizes(files: readonly { readonly sizeBytes: number }[]): number {
  return files.reduce((total, file) => total + file.sizeBytes, 0);
}

/** Columns as wide as their widest cell, two spaces apart. */
export function formatColumns(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  "));
  return lines.map((line) => line.trimEnd()).join("\n");
}
