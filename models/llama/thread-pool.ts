import koffi from "koffi";
import { DeviceType, GgmlThreadPoolParams, type NullablePointer, type Pointer } from "./abi.ts";
import type { LlamaLibrary } from "./library.ts";

const NewThreadPool = koffi.proto("void *", [koffi.pointer(GgmlThreadPoolParams)]);
const FreeThreadPool = koffi.proto("void", ["void *"]);

/**
 * Compute threads that sleep between calls. Without them ggml's CPU backend starts and ends threads for every graph,
 * and where another process has just woken up, the new thread may start on the core of the one that waits for it.
 * They keep the ordinary scheduling class: as batch work (SCHED_BATCH) a single stream gained 2 %, but beside a busy
 * process the p99 of steps was 2.5 times their median instead of 1.3 times.
 */
export class ThreadPool {
  readonly pointer: Pointer;
  readonly #free: Pointer;

  private constructor(pointer: Pointer, free: Pointer) {
    this.pointer = pointer;
    this.#free = free;
  }

  /** Null where the library has none to offer: calls then work as without one. */
  static create({ ggml }: LlamaLibrary, numThreads: number): ThreadPool | null {
    // Only the CPU backend has these, which is one library of several, chosen for the processor when it was loaded.
    const cpu = ggml.ggml_backend_dev_by_type(DeviceType.cpu);
    if (cpu === null) return null;
    const registry = ggml.ggml_backend_dev_backend_reg(cpu);
    const create = ggml.ggml_backend_reg_get_proc_address(registry, "ggml_threadpool_new");
    const free = ggml.ggml_backend_reg_get_proc_address(registry, "ggml_threadpool_free");
    if (create === null || free === null) return null;
    // Polling between calls would hold a core against everything else the machine does.
    const params = { ...ggml.ggml_threadpool_params_default(numThreads), poll: 0 };
    const pointer = koffi.call(create, NewThreadPool, params) as NullablePointer;
    return pointer === null ? null : new ThreadPool(pointer, free);
  }

  /** Only when no context uses it any more. */
  close(): void {
    koffi.call(this.#free, FreeThreadPool, this.pointer);
  }
}
