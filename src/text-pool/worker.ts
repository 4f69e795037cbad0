/**
 * Entry of a text pool's child process: the vocabulary's native code and the template engine run here, so
 * that input which hangs or kills them costs this process only. Argument: the path of the model file.
 */
import { Vocabulary, type VocabularyInfo } from "../../models/llama/vocabulary.ts";
import { CHATML_TEMPLATE } from "../../models/text/chat-template.ts";
import { ChatTemplateError, describeReason } from "../../models/text/chat-template-error.ts";
import { ChatTokenizer } from "../../models/text/chat-tokenizer.ts";
import { GuardedTokenizer } from "../../models/text/guarded-tokenizer.ts";
import type { VocabularyReport } from "../../models/text/text-vocabulary.ts";
import type { TextJob, TextJobResult, TextJobs, TokenizedPrompt } from "./text-job.ts";

interface LoadedVocabulary {
  readonly tokenizer: GuardedTokenizer;
  readonly info: VocabularyInfo;
}

// Ctrl-C reaches the whole process group; the server decides when its workers end.
process.on("SIGINT", () => undefined);
process.on("disconnect", () => process.exit());

// Loaded before the pool calls this worker ready, so that no job's time limit pays for it.
const loading = load(process.argv[2] ?? "");
const chatTokenizers = new Map<string, ChatTokenizer>();

export function runTextJob(job: TextJob): TextJobResult {
  try {
    if (loading instanceof Error) throw loading;
    return { output: run(job, loading) };
  } catch (error) {
    const { name, message } = error instanceof Error ? error : new Error("unknown failure");
    const param = error instanceof ChatTemplateError ? { param: error.param } : {};
    return { failure: { name, message, ...param } };
  }
}

function run(job: TextJob, loaded: LoadedVocabulary): TextJobs[TextJob["kind"]]["output"] {
  switch (job.kind) {
    case "describe":
      return describe(job, loaded);
    case "tokenize":
      return loaded.tokenizer.tokenize(job.text, job.options);
    case "chat":
      return tokenizeChat(job, loaded);
  }
}

function describe({ template }: TextJob<"describe">, loaded: LoadedVocabulary): VocabularyReport {
  const { tokenizer, info } = loaded;
  const templateProblem = findTemplateProblem(template, loaded);
  return { info, addSpacePrefix: tokenizer.addSpacePrefix, templateProblem };
}

function tokenizeChat(job: TextJob<"chat">, loaded: LoadedVocabulary): TokenizedPrompt {
  const chatTokenizer = chatTokenizerFor(job.template, loaded);
  const { tokenIds, text } = chatTokenizer.tokenize(job.chat, job.maxPromptLength);
  return job.includeText ? { tokenIds, text } : { tokenIds };
}

function findTemplateProblem(template: string | null, loaded: LoadedVocabulary): string | null {
  try {
    chatTokenizerFor(template, loaded);
    return null;
  } catch (error) {
    return describeReason(error);
  }
}

function chatTokenizerFor(given: string | null, { tokenizer, info }: LoadedVocabulary): ChatTokenizer {
  const template = given ?? info.chatTemplate ?? CHATML_TEMPLATE;
  const known = chatTokenizers.get(template);
  if (known !== undefined) return known;
  const created = new ChatTokenizer(tokenizer, info, template);
  chatTokenizers.set(template, created);
  return created;
}

function load(modelPath: string): LoadedVocabulary | Error {
  try {
    const vocabulary = Vocabulary.load(modelPath);
    const info = vocabulary.describe();
    return { tokenizer: new GuardedTokenizer(vocabulary, info), info };
  } catch (error) {
    return error instanceof Error ? error : new Error("unknown failure");
  }
}
