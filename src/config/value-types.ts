import type { ValueType } from "./option.ts";

/** Longer lists of choices go into the description. */
const maxPlaceholderLength = 30;

const base = { isList: false, format: (value: unknown) => String(value) };

export function text(placeholder: string): ValueType<string> {
  return {
    ...base,
    placeholder,
    parse(raw) {
      if (typeof raw === "number") return String(raw);
      if (typeof raw !== "string" || raw.trim() === "") throw new RangeError("a text that is not empty");
      return raw.trim();
    },
  };
}

export function choice<const C extends string>(...choices: readonly C[]): ValueType<C> {
  const inFull = choices.join("|");
  return {
    ...base,
    placeholder: inFull.length > maxPlaceholderLength ? "type" : inFull,
    parse(raw) {
      const found = choices.find((item) => item === raw);
      if (found === undefined) throw new RangeError(`one of ${choices.join(", ")}`);
      return found;
    },
  };
}

interface NumberRange {
  readonly min: number;
  readonly max: number;
}

export function integer({ min, max }: NumberRange): ValueType<number> {
  return {
    ...base,
    placeholder: "number",
    parse(raw) {
      const value = toNumber(raw);
      if (!Number.isInteger(value) || value < min || value > max) {
        throw new RangeError(`a whole number from ${min} to ${max}`);
      }
      return value;
    },
  };
}

export function decimal({ min, max }: NumberRange): ValueType<number> {
  return {
    ...base,
    placeholder: "number",
    parse(raw) {
      const value = toNumber(raw);
      if (!(value >= min && value <= max)) throw new RangeError(`a number from ${min} to ${max}`);
      return value;
    },
  };
}

/** Accepts the word `auto`, which stands for null. */
export function orAuto<T>(type: ValueType<T>): ValueType<T | null> {
  return {
    ...base,
    placeholder: `auto|${type.placeholder}`,
    parse(raw) {
      if (raw === "auto") return null;
      try {
        return type.parse(raw);
      } catch (error) {
        throw error instanceof RangeError ? new RangeError(`auto or ${error.message}`) : error;
      }
    },
    format: (value) => (value === null ? "auto" : type.format(value)),
  };
}

const byteUnits: Readonly<Record<string, number>> = {
  "": 1,
  B: 1,
  K: 2 ** 10,
  M: 2 ** 20,
  G: 2 ** 30,
  T: 2 ** 40,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
  TIB: 2 ** 40,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
};

/** Bytes, such as 512M, 4GiB or 8388608. K, M, G and T are powers of 1024; KB, MB, GB and TB of 1000. */
export function size({ minBytes }: { readonly minBytes: number }): ValueType<number> {
  return {
    ...base,
    placeholder: "size",
    parse(raw) {
      const bytes = Math.round(parseWithUnit(raw, byteUnits));
      if (!Number.isSafeInteger(bytes) || bytes < minBytes) {
        throw new RangeError(`a size of at least ${formatSize(minBytes)}, such as 512M or 4GiB`);
      }
      return bytes;
    },
    format: formatSize,
  };
}

const millisecondUnits: Readonly<Record<string, number>> = {
  "": 1000,
  MS: 1,
  S: 1000,
  M: 60_000,
  H: 3_600_000,
};

/** Milliseconds, written as 500ms, 30s or 2m; a plain number means seconds. */
export function duration({ maxMs }: { readonly maxMs: number }): ValueType<number> {
  return {
    ...base,
    placeholder: "duration",
    parse(raw) {
      const milliseconds = parseWithUnit(raw, millisecondUnits);
      if (!(milliseconds >= 0 && milliseconds <= maxMs)) {
        throw new RangeError(`a duration up to ${formatDuration(maxMs)}, such as 500ms, 30s or 2m`);
      }
      return milliseconds;
    },
    format: formatDuration,
  };
}

export function onOff(): ValueType<boolean> {
  return {
    ...base,
    placeholder: "",
    parse(raw) {
      if (typeof raw === "boolean") return raw;
      if (["true", "on", "yes", "1"].includes(String(raw).toLowerCase())) return true;
      if (["false", "off", "no", "0"].includes(String(raw).toLowerCase())) return false;
      throw new RangeError("true or false");
    },
    format: (value) => (value ? "on" : "off"),
  };
}

/** Several values: a flag given more than once, a list in a file, or one text separated by commas. */
export function list<T>(item: ValueType<T>): ValueType<readonly T[]> {
  return {
    isList: true,
    placeholder: item.placeholder,
    parse(raw) {
      const parts = (Array.isArray(raw) ? raw : [raw]) as readonly unknown[];
      return Object.freeze(parts.flatMap(splitAtCommas).map((part) => item.parse(part)));
    },
    format: (values) => values.map((value) => item.format(value)).join(","),
  };
}

export function formatSize(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log2(bytes || 1) / 10)));
  return `${Number((bytes / 1024 ** power).toFixed(1))} ${units[power]}`;
}

export function formatDuration(milliseconds: number): string {
  if (milliseconds % 3_600_000 === 0 && milliseconds > 0) return `${milliseconds / 3_600_000}h`;
  return milliseconds % 1000 === 0 ? `${milliseconds / 1000}s` : `${milliseconds}ms`;
}

function splitAtCommas(raw: unknown): readonly unknown[] {
  if (typeof raw !== "string") return [raw];
  return raw
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

function toNumber(raw: unknown): number {
  if (typeof raw === "number") return raw;
  return typeof raw === "string" && raw.trim() !== "" ? Number(raw) : Number.NaN;
}

/** NaN when the text is not a number with one of the units. */
function parseWithUnit(raw: unknown, units: Readonly<Record<string, number>>): number {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(String(raw));
  if (!match) return Number.NaN;
  return Number(match[1]) * (units[(match[2] ?? "").toUpperCase()] ?? Number.NaN);
}
