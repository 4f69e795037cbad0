import type { FastifyInstance } from "fastify";

/** Methods by path, to tell a wrong method from a wrong path. */
export type RouteTable = Map<string, Set<string>>;

/** Records every route that is registered after this call. */
export function recordRoutes(app: FastifyInstance): RouteTable {
  const routes: RouteTable = new Map();
  app.addHook("onRoute", (route) => {
    const methods = routes.get(route.url) ?? new Set<string>();
    for (const method of [route.method].flat()) methods.add(method);
    routes.set(route.url, methods);
  });
  return routes;
}

export function allowedMethods(routes: RouteTable, url: string): string[] {
  const path = (url.split("?", 1)[0] ?? "").replace(/(?<=.)\/$/, "");
  const exact = routes.get(path);
  if (exact !== undefined) return [...exact];
  for (const [pattern, methods] of routes) {
    if (pattern.endsWith("/*") && path.startsWith(pattern.slice(0, -1))) return [...methods];
  }
  return [];
}
