import { PatternAutomaton } from "./pattern-automaton.ts";

/**
 * Marks characters that must not become part of a special token. A noncharacter of Unicode: real text has
 * none, templates pass it on like a letter, and it is gone before anything is tokenized.
 */
const MARK = "\uFDD0";
/** Ends the message that is to be continued; the prompt is cut there. */
export const CONTINUATION_MARK = "\uFDD1";
const RESERVED = new RegExp(`[${MARK}${CONTINUATION_MARK}]`, "gu");

/** A stretch of a prompt. Special tokens are looked for only where the template wrote some. */
export interface PromptSegment {
  readonly text: string;
  readonly parseSpecial: boolean;
}

/**
 * Keeps special tokens typed by a client plain text, through a template that mixes both.
 *
 * Before rendering, `protect` puts a mark behind every character of a special token's text in the client's
 * strings, and of a string's edge where other text could complete it to one. After rendering, `split` cuts
 * the prompt: characters before a mark are tokenized as plain text. The rule is local, so it holds whatever
 * the template slices, trims, splits or joins; all other text reaches the template as it was, so
 * comparisons such as `'</think>' in content` still work.
 */
export class SpecialTextGuard {
  readonly #specialTexts: readonly string[];
  readonly #forward: PatternAutomaton;
  readonly #backward: PatternAutomaton;
  readonly #maxLength: number;
  readonly #cutTexts: readonly string[];

  /** `cutTexts` are strings at which the template may take a client's string apart, to join it anew. */
  constructor(specialTexts: readonly string[], cutTexts: readonly string[]) {
    this.#specialTexts = specialTexts.map(foldCase);
    this.#maxLength = this.#specialTexts.reduce((length, text) => Math.max(length, text.length), 0);
    this.#forward = new PatternAutomaton(this.#specialTexts);
    this.#backward = new PatternAutomaton(this.#specialTexts.map(reverseUnits));
    this.#cutTexts = cutTexts.filter((text) => text !== "");
  }

  protect(text: string): string {
    const clean = text.replace(RESERVED, "\uFFFD");
    const folded = foldCase(clean);
    const isMarked = new Uint8Array(clean.length);
    this.#markWholeTexts(folded, isMarked);
    this.#markInnerText(folded, isMarked);
    for (const piece of this.#pieces(clean)) this.#markEdges(folded, trimmed(clean, piece), isMarked);
    return insertMarks(clean, isMarked);
  }

  #markWholeTexts(folded: string, isMarked: Uint8Array): void {
    let state = this.#forward.start;
    for (let i = 0; i < folded.length; i++) {
      state = this.#forward.step(state, folded.charCodeAt(i));
      const match = this.#forward.matchAt(state);
      if (match !== null) isMarked.fill(1, i + 1 - match.length, i + 1);
    }
  }

  /** `|im_end|` between a template's angle brackets; plain words are names such as roles, and are let through. */
  #markInnerText(folded: string, isMarked: Uint8Array): void {
    if (folded.length >= this.#maxLength || /^\w*$/u.test(folded)) return;
    if (this.#specialTexts.some((special) => special.includes(folded))) isMarked.fill(1);
  }

  /** Half-open ranges of the text between the cut texts. */
  *#pieces(text: string): Generator<Range> {
    const isCut = new Uint8Array(text.length + 1);
    for (const cut of this.#cutTexts) {
      for (let at = text.indexOf(cut); at !== -1; at = text.indexOf(cut, at + 1)) {
        isCut.fill(1, at, at + cut.length);
      }
    }
    isCut[text.length] = 1;
    for (let start = 0, end = isCut.indexOf(1); end !== -1; start = end + 1, end = isCut.indexOf(1, start)) {
      if (end > start) yield { start, end };
    }
  }

  /** Marks what, at the edges of a piece, other text could complete to a special token. */
  #markEdges(folded: string, piece: Range, isMarked: Uint8Array): void {
    const tail = folded.slice(Math.max(piece.start, piece.end - this.#maxLength), piece.end);
    isMarked.fill(1, piece.end - endDepth(this.#forward, tail), piece.end);
    const head = folded.slice(piece.start, Math.min(piece.end, piece.start + this.#maxLength));
    isMarked.fill(1, piece.start, piece.start + endDepth(this.#backward, reverseUnits(head)));
  }

  /** Cuts a rendered prompt where marks stand, and takes them out. */
  split(rendered: string): PromptSegment[] {
    const parts = rendered.split(MARK);
    const last = parts.pop() as string;
    if (parts.length === 0) return last === "" ? [] : [{ text: last, parseSpecial: true }];
    const segments = new SegmentList();
    for (const part of parts) {
      const end = part.length - lastCharacterLength(part);
      segments.add(part.slice(0, end), this.#hasSpecialText(part.slice(0, end)));
      segments.add(part.slice(end), false);
    }
    segments.add(last, this.#hasSpecialText(last));
    return segments.segments;
  }

  /** Text without any is plain too: it joins its neighbours, so that words are tokenized whole. */
  #hasSpecialText(text: string): boolean {
    const folded = foldCase(text);
    let state = this.#forward.start;
    for (let i = 0; i < folded.length; i++) {
      state = this.#forward.step(state, folded.charCodeAt(i));
      if (this.#forward.matchAt(state) !== null) return true;
    }
    return false;
  }
}

interface Range {
  readonly start: number;
  readonly end: number;
}

class SegmentList {
  readonly segments: PromptSegment[] = [];

  add(text: string, parseSpecial: boolean): void {
    if (text === "") return;
    const last = this.segments.at(-1);
    if (last?.parseSpecial === parseSpecial) {
      this.segments[this.segments.length - 1] = { text: last.text + text, parseSpecial };
    } else {
      this.segments.push({ text, parseSpecial });
    }
  }
}

function insertMarks(text: string, isMarked: Uint8Array): string {
  if (!isMarked.includes(1)) return text;
  let result = "";
  let unit = 0;
  for (const character of text) {
    result += isMarked[unit] === 1 ? character + MARK : character;
    unit += character.length;
  }
  return result;
}

/** The range without white space at its ends, which templates like to trim; special tokens have none there. */
function trimmed(text: string, { start, end }: Range): Range {
  const piece = text.slice(start, end);
  const trimmedStart = end - piece.trimStart().length;
  return { start: trimmedStart, end: Math.max(trimmedStart, start + piece.trimEnd().length) };
}

/** How much of the text's end is the start of a pattern. */
function endDepth(automaton: PatternAutomaton, text: string): number {
  let state = automaton.start;
  for (let i = 0; i < text.length; i++) state = automaton.step(state, text.charCodeAt(i));
  return automaton.depthOf(state);
}

/** Lower case where that keeps the length: templates may change the case of what they print. */
function foldCase(text: string): string {
  const lower = text.toLowerCase();
  return lower.length === text.length ? lower : text.replace(/[A-Z]/gu, (letter) => letter.toLowerCase());
}

function reverseUnits(text: string): string {
  let reversed = "";
  for (let i = text.length - 1; i >= 0; i--) reversed += text[i] as string;
  return reversed;
}

function lastCharacterLength(text: string): number {
  return /[\uD800-\uDBFF][\uDC00-\uDFFF]$/.test(text.slice(-2)) ? 2 : Math.min(1, text.length);
}
