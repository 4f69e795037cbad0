import swagger from "@fastify/swagger";
import apiReference from "@scalar/fastify-api-reference";
import type { FastifyInstance } from "fastify";

/** The OpenAPI document, and a page that shows it; the page's script comes from this server too. */
export async function registerApiDocs(app: FastifyInstance, version: string): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: { title: "Headway", version, description: "An OpenAI-compatible text-generation server." },
      components: { securitySchemes: { apiKey: { type: "http", scheme: "bearer" } } },
      security: [{ apiKey: [] }],
    },
  });
  const open = { isPublic: true };
  app.get("/openapi.json", { config: open, schema: { hide: true } }, () => app.swagger());
  await app.register(async (scope) => {
    scope.addHook("onRoute", (route) => {
      route.config = { ...route.config, ...open };
    });
    await scope.register(apiReference, {
      routePrefix: "/docs",
      configuration: {
        url: "/openapi.json",
        withDefaultFonts: false,
        telemetry: false,
        agent: { disabled: true },
      },
    });
  });
}
