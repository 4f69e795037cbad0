import { createServer } from "node:net";

/** Why nothing can listen there now, or null: tried and given back. Port 0 is always free. */
export function probePort({
  host,
  port,
}: {
  readonly host: string;
  readonly port: number;
}): Promise<Error | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", resolve);
    server.listen(port, host, () => server.close(() => resolve(null)));
  });
}
