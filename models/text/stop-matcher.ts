import { PatternAutomaton, type ScanState } from "./pattern-automaton.ts";

export interface StopMatcherOptions {
  /** Well-formed, non-empty strings. */
  readonly stopStrings: readonly string[];
  /** Whether the text given out ends with the stop string or before it. */
  readonly includeStopString: boolean;
}

export interface StopMatch {
  /** Text that is safe to give out: no later text can make it part of a stop string. */
  readonly text: string;
  /** The stop string that ended the text; nothing follows it. */
  readonly stopString: string | null;
}

/**
 * Cuts a streamed text at the first stop string.
 *
 * The first is the one that is complete first; of two that are complete at once, the longer. That rule
 * needs no look-ahead, so the result does not depend on how the text is split into pieces. Text that may
 * be the start of a stop string is held back: at most one unit less than the longest of them.
 */
export class StopMatcher {
  readonly #automaton: PatternAutomaton | null;
  readonly #includeStopString: boolean;
  #state: ScanState | null;
  #held = "";

  constructor(options: StopMatcherOptions) {
    this.#automaton = options.stopStrings.length > 0 ? new PatternAutomaton(options.stopStrings) : null;
    this.#includeStopString = options.includeStopString;
    this.#state = this.#automaton?.start ?? null;
  }

  push(text: string): StopMatch {
    const automaton = this.#automaton;
    let state = this.#state;
    if (automaton === null || state === null) return { text, stopString: null };
    for (let i = 0; i < text.length; i++) {
      state = automaton.step(state, text.charCodeAt(i));
      const stopString = automaton.matchAt(state);
      if (stopString !== null) return this.#stop(this.#held + text.slice(0, i + 1), stopString);
    }
    this.#state = state;
    return this.#release(this.#held + text, automaton.depthOf(state));
  }

  /** No more text comes: what was held back is no stop string. */
  finish(): string {
    const held = this.#held;
    this.#held = "";
    return held;
  }

  #release(text: string, numHeldUnits: number): StopMatch {
    const end = text.length - numHeldUnits;
    this.#held = text.slice(end);
    return { text: text.slice(0, end), stopString: null };
  }

  #stop(text: string, stopString: string): StopMatch {
    this.#held = "";
    const end = this.#includeStopString ? text.length : text.length - stopString.length;
    return { text: text.slice(0, end), stopString };
  }
}
