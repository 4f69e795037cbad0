import { Environment, Interpreter, parse, tokenize } from "@huggingface/jinja";

/** A lexical token of a template; the package's own declarations do not resolve under NodeNext. */
export interface TemplateToken {
  readonly type: string;
  readonly value: string;
}

interface TemplateEnvironment {
  set(name: string, value: unknown): unknown;
}

interface TemplateInterpreter {
  run(program: unknown): { readonly value: unknown };
}

/** Jinja as chat templates assume it: the white-space rules that transformers sets. */
export class JinjaProgram {
  readonly tokens: readonly TemplateToken[];
  readonly #program: unknown;

  /** Throws what the engine throws for a template it cannot read. */
  constructor(source: string) {
    this.tokens = tokenize(source, { lstrip_blocks: true, trim_blocks: true }) as TemplateToken[];
    this.#program = parse([...this.tokens]);
  }

  /** `variables` holds every name the template may use, Jinja's own constants included. */
  run(variables: Readonly<Record<string, unknown>>): string {
    const environment = new Environment() as TemplateEnvironment;
    for (const [name, value] of Object.entries(variables)) environment.set(name, value);
    const interpreter = new Interpreter(environment) as TemplateInterpreter;
    return String(interpreter.run(this.#program).value);
  }
}
