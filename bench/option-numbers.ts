import { InvalidArgumentError } from "commander";

/** A number option at or above a minimum; `inf` is a number too. */
export const atLeast =
  (minimum: number) =>
  (text: string): number => {
    const value = text === "inf" ? Infinity : Number(text);
    if (text.trim() === "" || !(value >= minimum))
      throw new InvalidArgumentError(`a number of at least ${minimum} is expected.`);
    return value;
  };

/** A whole number option at or above a minimum. */
export const wholeAtLeast =
  (minimum: number) =>
  (text: string): number => {
    const value = atLeast(minimum)(text);
    if (!Number.isInteger(value)) throw new InvalidArgumentError("a whole number is expected.");
    return value;
  };

/** A number option above a minimum. */
export const above =
  (minimum: number) =>
  (text: string): number => {
    const value = text === "inf" ? Infinity : Number(text);
    if (text.trim() === "" || !(value > minimum))
      throw new InvalidArgumentError(`a number above ${minimum} is expected.`);
    return value;
  };

/** An option between 0 and 1. */
export const share = (text: string): number => {
  const value = atLeast(0)(text);
  if (value > 1) throw new InvalidArgumentError("a share between 0 and 1 is expected.");
  return value;
};
