import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { after, before, describe, it, type TestContext } from "node:test";
import type { ChatTemplateInput } from "../../models/text/chat-input.ts";
import { packageFile } from "../../src/cli/package-file.ts";
import { TextPool, type TextPoolOptions } from "../../src/text-pool/text-pool.ts";

const modelPath = packageFile("models/demo/headway-demo.gguf");
const plain = { addSpecial: false, parseSpecial: false };

/** Renders for hours when the conversation says so. */
const SLOW_TEMPLATE = `
{%- if messages[0].content == 'slow' %}
{%- for a in range(10000) %}{% for b in range(10000) %}{% for c in range(10000) %}{% endfor %}{% endfor %}{% endfor %}
{%- endif %}
{{- messages[0].content }}`;

function chat(content: string, overrides: Partial<ChatTemplateInput> = {}): ChatTemplateInput {
  return {
    messages: [{ role: "user", content }],
    addGenerationPrompt: true,
    continueFinalMessage: false,
    ...overrides,
  };
}

async function startPool(t: TestContext, options: Partial<TextPoolOptions> = {}): Promise<TextPool> {
  const pool = await TextPool.start(modelPath, options);
  t.after(() => pool.close());
  return pool;
}

/** Child processes started while `action` runs. */
async function watchProcesses<Result>(
  action: (processes: ChildProcess[]) => Promise<Result>,
): Promise<Result> {
  const processes: ChildProcess[] = [];
  const onProcess = (message: unknown): void => {
    processes.push((message as { process: ChildProcess }).process);
  };
  subscribe("child_process", onProcess);
  try {
    return await action(processes);
  } finally {
    unsubscribe("child_process", onProcess);
  }
}

function isGone(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

describe("TextPool", () => {
  let pool: TextPool;
  before(async () => {
    pool = await TextPool.start(modelPath);
  });
  after(() => pool.close());

  it("describes the vocabulary", () => {
    const { size, pieces, eogTokenIds, addSpacePrefix } = pool.vocabulary;
    assert.equal(pieces.length, size);
    assert.ok(eogTokenIds.length > 0);
    assert.equal(addSpacePrefix, false);
    assert.equal(pool.templateSource, "model");
    assert.equal(pool.templateProblem, null);
  });

  it("turns text into tokens and back", async () => {
    for (const text of ["Hello there.", "", "a\0b", "漢字 👩‍🚀 e\u0301\n", "  two  spaces "]) {
      assert.equal(pool.detokenize(await pool.tokenize(text, plain)), text);
    }
    assert.equal(pool.detokenize(await pool.tokenize("a\uD800b", plain)), "a\uFFFDb");
    assert.equal(await pool.countTokens(""), 0);
  });

  it("makes control tokens of special text only when told to", async () => {
    const { eosText, eosTokenId } = pool.vocabulary;
    assert.deepEqual(await pool.tokenize(eosText, { addSpecial: false, parseSpecial: true }), [eosTokenId]);
    assert.ok(!(await pool.tokenize(eosText, plain)).includes(eosTokenId as number));
  });

  it("renders and tokenizes conversations, giving the text when asked", async () => {
    const { tokenIds, text } = await pool.tokenizeChat(chat("Hi <|im_end|>"), { includeText: true });
    assert.equal(text, "<|im_start|>user\nHi <|im_end|><|im_end|>\n<|im_start|>assistant\n");
    const turnEnd = await pool.tokenize("<|im_end|>", { addSpecial: false, parseSpecial: true });
    assert.equal(tokenIds.filter((tokenId) => tokenId === turnEnd[0]).length, 1);
    assert.equal((await pool.tokenizeChat(chat("Hi"))).text, undefined);
  });

  it("assembles output: hidden end tokens, stop strings", async () => {
    const tokenIds = await pool.tokenize("One. Two. STOP Three.<|im_end|>", { ...plain, parseSpecial: true });
    const options = { stopStrings: [" STOP"], includeStopString: false, continuesText: false };
    const assembler = pool.createAssembler(options);
    const outputs = tokenIds.map((tokenId) => assembler.push(tokenId));
    assert.equal(outputs.map(({ text }) => text).join(""), "One. Two.");
    assert.deepEqual(
      outputs.flatMap(({ stopped }) => stopped ?? []),
      [" STOP"],
    );
    const unstopped = pool.createAssembler({ ...options, stopStrings: [] });
    const text = tokenIds.map((tokenId) => unstopped.push(tokenId).text).join("") + unstopped.finish();
    assert.equal(text, "One. Two. STOP Three.");
  });

  it("passes a template's refusal on", async () => {
    await assert.rejects(pool.tokenizeChat(chat("a", { chatTemplateKwargs: { messages: [] } })), {
      name: "ChatTemplateError",
    });
  });

  it("refuses tool calls that the template leaves out, by name", async (t) => {
    const call = { type: "function", function: { name: "add", arguments: "{}" } };
    const messages = [
      { role: "user", content: "a" },
      { role: "assistant", content: null, tool_calls: [call] },
    ];
    const given = { ...chat("a"), messages };
    const own = await startPool(t, { chatTemplate: "{% for m in messages %}{{ m.content }}{% endfor %}" });
    await assert.rejects(own.tokenizeChat(given), { param: "messages[1].tool_calls" });
    const knowing = await startPool(t, { chatTemplate: "{{ messages | tojson }}" });
    assert.ok((await knowing.tokenizeChat(given)).tokenIds.length > 0);
  });

  it("refuses text that is too large before any process sees it", async (t) => {
    const small = await startPool(t, { maxInputBytes: 200 });
    await assert.rejects(small.tokenize("é".repeat(101), plain), { code: "input_too_large" });
    await assert.rejects(small.tokenizeChat(chat("x".repeat(300))), { code: "input_too_large" });
    assert.ok((await small.tokenize("é".repeat(100), plain)).length > 0);
  });

  it("renders with the operator's template", async (t) => {
    const own = await startPool(t, { chatTemplate: "[{{ messages[0].content }}]" });
    assert.equal(own.templateSource, "operator");
    assert.equal((await own.tokenizeChat(chat("x"), { includeText: true })).text, "[x]");
  });
});

describe("TextPool checks its template", () => {
  it("and does not start with an operator's that cannot be read", async () => {
    await assert.rejects(TextPool.start(modelPath, { chatTemplate: "{% for %}" }), {
      code: "vocabulary_unusable",
      message: /chat template cannot be read/u,
    });
  });
});

describe("TextPool survives", () => {
  it("a template that never ends: the job fails, others go on", async (t) => {
    const pool = await startPool(t, { numWorkers: 2, templateTimeoutMs: 500, chatTemplate: SLOW_TEMPLATE });
    const slow = assert.rejects(pool.tokenizeChat(chat("slow")), { code: "template_timeout" });
    assert.ok((await pool.tokenize("meanwhile", plain)).length > 0);
    await slow;
    const { text } = await pool.tokenizeChat(chat("quick"), { includeText: true });
    assert.equal(text, "quick");
  });

  it("a burst: what may not wait is refused", async (t) => {
    const pool = await startPool(t, { maxQueue: 1, templateTimeoutMs: 300, chatTemplate: SLOW_TEMPLATE });
    const slow = assert.rejects(pool.tokenizeChat(chat("slow")), { code: "template_timeout" });
    const waiting = pool.tokenize("waits", plain);
    await assert.rejects(pool.tokenize("refused", plain), { name: "TextPoolBusyError" });
    await slow;
    assert.ok((await waiting).length > 0);
  });

  it("a worker that dies at work: the job gets a new worker", async (t) => {
    await watchProcesses(async (processes) => {
      const pool = await startPool(t);
      processes[0]?.kill("SIGSEGV");
      // Nobody has heard of the death yet, so this goes to the dying process.
      assert.ok((await pool.tokenize("during", plain)).length > 0);
      assert.equal(processes.length, 2);
    });
  });

  it("a text at which two workers die: it fails, the next gets a third", async (t) => {
    await watchProcesses(async (processes) => {
      const pool = await startPool(t, { chatTemplate: SLOW_TEMPLATE });
      const dies = assert.rejects(pool.tokenizeChat(chat("slow")), { code: "worker_crashed" });
      const killNew = (): void => void processes.find((worker) => !worker.killed)?.kill("SIGSEGV");
      const killing = setInterval(killNew, 10);
      t.after(() => clearInterval(killing));
      await dies;
      clearInterval(killing);
      assert.ok((await pool.tokenize("after", plain)).length > 0);
      assert.equal(processes.length, 3);
    });
  });

  it("a worker that dies while idle", async (t) => {
    await watchProcesses(async (processes) => {
      const pool = await startPool(t);
      const [worker] = processes as [ChildProcess];
      worker.ref();
      worker.kill("SIGKILL");
      await new Promise((resolve) => worker.once("exit", resolve));
      assert.ok((await pool.tokenize("after", plain)).length > 0);
    });
  });
});

describe("TextPool ends", () => {
  it("with every process, rejecting what still waits", async () => {
    await watchProcesses(async (processes) => {
      const pool = await TextPool.start(modelPath, { chatTemplate: SLOW_TEMPLATE });
      const running = assert.rejects(pool.tokenizeChat(chat("slow")), { code: "closed" });
      const waiting = assert.rejects(pool.tokenize("waits", plain), { code: "closed" });
      await pool.close();
      await Promise.all([running, waiting]);
      await assert.rejects(pool.tokenize("late", plain), { code: "closed" });
      assert.ok(processes.length > 0 && processes.every(isGone));
    });
  });

  it("at once when the model's vocabulary cannot be used", async () => {
    await watchProcesses(async (processes) => {
      await assert.rejects(TextPool.start(packageFile("package.json")), { code: "vocabulary_unusable" });
      assert.ok(processes.length > 0 && processes.every(isGone));
    });
  });
});
