import { overloaded } from "./error-mapping.ts";

/** A call that holds a place in the server. */
export interface AdmittedCall {
  readonly id: string;
  readonly requestId: string;
  readonly tenantId: string;
  readonly numChoices: number;
  abort(): void;
}

/** Bounds how much is in flight and knows every call that is. */
export class Admission {
  readonly #calls = new Set<AdmittedCall>();
  #numChoices = 0;

  get numInFlight(): number {
    return this.#calls.size;
  }

  /** Takes a place or throws `overloaded`, before any work is done for the call. */
  enter(call: AdmittedCall, maxNumChoices: number, retryAfterMs: () => number): void {
    this.requireRoom(call.numChoices, maxNumChoices, retryAfterMs);
    this.#calls.add(call);
    this.#numChoices += call.numChoices;
  }

  /** A call with more choices than ever fit gets in alone, as it could never otherwise. */
  requireRoom(numChoices: number, maxNumChoices: number, retryAfterMs: () => number): void {
    const isFull = this.#numChoices + numChoices > maxNumChoices;
    if (isFull && this.#numChoices > 0) throw overloaded(retryAfterMs());
  }

  /** Gives the place back; harmless when it was given back before. */
  leave(call: AdmittedCall): void {
    if (this.#calls.delete(call)) this.#numChoices -= call.numChoices;
  }

  /** Aborts a tenant's calls of these ids, which are either the answer's or the x-request-id. */
  abort(ids: ReadonlySet<string>, tenantId: string): void {
    for (const call of this.#calls) {
      if (call.tenantId !== tenantId) continue;
      if (ids.has(call.id) || ids.has(call.requestId)) call.abort();
    }
  }
}
