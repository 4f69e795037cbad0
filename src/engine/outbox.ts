import type { ToEngine } from "./protocol.ts";

type Lists = { -readonly [K in keyof Omit<ToEngine, "shutdown">]: Writable<NonNullable<ToEngine[K]>> };
type Writable<List> = List extends readonly (infer Item)[] ? Item[] : never;

/**
 * Collects what one turn of the event loop has for the engine, which goes through a message list by list. So that
 * nothing overtakes what was said before it, a word that takes back an earlier one of the same turn removes it.
 */
export class Outbox {
  #lists: Lists = {};

  add({ abort, submit, pause, resume, unpin, snapshot }: ToEngine): void {
    for (const id of abort ?? []) this.#abort(id);
    if (submit) (this.#lists.submit ??= []).push(...submit);
    for (const id of pause ?? []) this.#pause(id);
    for (const id of resume ?? []) this.#resume(id);
    if (unpin) (this.#lists.unpin ??= []).push(...unpin);
    if (snapshot) (this.#lists.snapshot ??= []).push(...snapshot);
  }

  /** All that was added since the last call. */
  take(): ToEngine {
    const message = this.#lists;
    this.#lists = {};
    return message;
  }

  /** A sequence that the engine has not heard of yet never gets there. */
  #abort(id: string): void {
    if (this.#drop("submit", ({ requestId }) => requestId === id)) return;
    (this.#lists.abort ??= []).push(id);
  }

  #pause(id: string): void {
    this.#drop("resume", (other) => other === id);
    (this.#lists.pause ??= []).push(id);
  }

  #resume(id: string): void {
    this.#drop("pause", (other) => other === id);
    (this.#lists.resume ??= []).push(id);
  }

  /** Returns whether there was anything to remove. */
  #drop<Name extends keyof Lists>(
    name: Name,
    isMeant: (item: NonNullable<Lists[Name]>[number]) => boolean,
  ): boolean {
    const list = this.#lists[name] as NonNullable<Lists[Name]>[number][] | undefined;
    const kept = list?.filter((item) => !isMeant(item));
    if (list === undefined || kept === undefined || kept.length === list.length) return false;
    if (kept.length > 0) this.#lists[name] = kept as Lists[Name];
    else delete this.#lists[name];
    return true;
  }
}
