import { ChatTemplateError } from "./chat-template-error.ts";

/** No template needs more; a bound keeps a hostile one from filling the memory in one call. */
const MAX_RANGE_LENGTH = 1_000_000;

const MONTHS = "January February March April May June July August September October November December".split(
  " ",
);
const WEEKDAYS = "Sunday Monday Tuesday Wednesday Thursday Friday Saturday".split(" ");

/**
 * Names that every chat template may use besides its input: the set that Hugging Face's transformers
 * defines (utils/chat_template_utils.py there) on top of Jinja's own.
 */
export function createTemplateGlobals(now: () => Date): Record<string, unknown> {
  return {
    true: true,
    false: false,
    none: null,
    True: true,
    False: false,
    None: null,
    range,
    raise_exception: (reason: unknown) => {
      throw new ChatTemplateError(
        typeof reason === "string" ? reason : "The template refuses the conversation.",
      );
    },
    strftime_now: (format: string) => formatTime(now(), format),
  };
}

/** Python's range(stop), range(start, stop) and range(start, stop, step). */
function range(first: number, second?: number | null, step: number | null = 1): number[] {
  const [start, stop] = typeof second === "number" ? [first, second] : [0, first];
  const increment = step ?? 1;
  const length = Math.max(0, Math.ceil((stop - start) / increment));
  if (!(length <= MAX_RANGE_LENGTH)) throw new ChatTemplateError("range() is too long.");
  return Array.from({ length }, (_, i) => start + i * increment);
}

/** The subset of C's strftime that templates use, in English and local time. */
function formatTime(time: Date, format: string): string {
  return format.replace(/%(-?)([a-zA-Z%])/gu, (directive, dash: string, code: string) => {
    const field = timeField(time, code);
    if (field === null) return directive;
    return dash === "-" ? field.replace(/^0+(?=\d)/u, "") : field;
  });
}

function timeField(time: Date, code: string): string | null {
  const month = MONTHS[time.getMonth()] as string;
  const weekday = WEEKDAYS[time.getDay()] as string;
  const fields: Record<string, string> = {
    Y: String(time.getFullYear()),
    y: twoDigits(time.getFullYear() % 100),
    m: twoDigits(time.getMonth() + 1),
    B: month,
    b: month.slice(0, 3),
    d: twoDigits(time.getDate()),
    A: weekday,
    a: weekday.slice(0, 3),
    H: twoDigits(time.getHours()),
    I: twoDigits(time.getHours() % 12 || 12),
    M: twoDigits(time.getMinutes()),
    S: twoDigits(time.getSeconds()),
    p: time.getHours() < 12 ? "AM" : "PM",
    "%": "%",
  };
  return fields[code] ?? null;
}

function twoDigits(value: number): string {
  return String(value).padStart(2, "0");
}
