const longInteger = /(?<![\d.eE+-])-?\d{19}(?![\d.eE])/g;

/**
 * JSON with the integers at the ends of the 64-bit range moved away from them. Numbers become doubles, and there
 * 2^63 - 1, which is allowed, is the same as 2^63, which is not; so each literal becomes a double on its own side.
 */
export function keepSidesOfInt64(json: string): string {
  if (json.search(longInteger) === -1) return json;
  let result = "";
  let index = 0;
  while (index < json.length) {
    const quote = json.indexOf('"', index);
    const start = quote === -1 ? json.length : quote;
    const end = quote === -1 ? json.length : endOfString(json, quote + 1);
    result += json.slice(index, start).replace(longInteger, onItsSide) + json.slice(start, end);
    index = end;
  }
  return result;
}

function onItsSide(literal: string): string {
  const value = BigInt(literal);
  const isInt64 = BigInt.asIntN(64, value) === value;
  const number = Number(literal);
  // The neighbours of 2^63 and -2^63 among the doubles.
  if (isInt64 && number === 2 ** 63) return "9223372036854774784";
  if (!isInt64 && number === -(2 ** 63)) return "-9223372036854777856";
  return literal;
}

/** Index behind the quote that closes the string whose contents start at `from`. */
function endOfString(json: string, from: number): number {
  let index = from;
  while (index < json.length && json[index] !== '"') index += json[index] === "\\" ? 2 : 1;
  return index + 1;
}
