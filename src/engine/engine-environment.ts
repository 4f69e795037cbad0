type Environment = Readonly<Record<string, string | undefined>>;

const HUGE_PAGES = "glibc.malloc.hugetlb";

/**
 * What an engine process finds in its environment.
 *
 * glibc asks the kernel for huge pages where it is told to, and others ignore that: gigabytes of KV memory are then
 * there in a third of the time, at a start and while clients wait for a new engine after a crash.
 */
export function engineEnvironment(environment: Environment): Environment {
  // libuv's helper threads would compete with the model's threads for the cores.
  return {
    ...environment,
    UV_THREADPOOL_SIZE: "1",
    GLIBC_TUNABLES: withHugePages(environment["GLIBC_TUNABLES"]),
  };
}

/** An operator's own choice stays. */
function withHugePages(tunables = ""): string {
  if (tunables.includes(HUGE_PAGES)) return tunables;
  return [...tunables.split(":").filter(Boolean), `${HUGE_PAGES}=1`].join(":");
}
