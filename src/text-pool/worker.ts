/**
 * Entry of a text pool's child process: the vocabulary's native code and the template engine run here, so
 * that input which hangs or kills them costs this process only. Argument: the path of the model file.
 */
import { Vocabulary, type VocabularyInfo } from "../../models/llama/vocabulary.ts";
import { CHATML_TEMPLATE } from "../../models/text/chat-template.ts";
import { ChatTokenizer } from "../../models/text/chat-tokenizer.ts";
import { SAMPLE_TEXT, toTextVocabulary, type VocabularyReport } from "../../models/text/text-vocabulary.ts";
import type { TextJob, TextJobResult, TextJobs, TokenizedPrompt } from "./text-job.ts";

interface LoadedVocabulary {
  readonly vocabulary: Vocabulary;
  readonly report: VocabularyReport;
  readonly addSpacePrefix: boolean;
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
    return { failure: { name, message } };
  }
}

function run(job: TextJob, loaded: LoadedVocabulary): TextJobs[TextJob["kind"]]["output"] {
  switch (job.kind) {
    case "describe":
      return loaded.report;
    case "tokenize":
      return loaded.vocabulary.tokenize(job.text, job.options);
    case "chat":
      return tokenizeChat(job, loaded);
  }
}

function tokenizeChat(job: TextJob<"chat">, loaded: LoadedVocabulary): TokenizedPrompt {
  const template = job.template ?? loaded.report.info.chatTemplate ?? CHATML_TEMPLATE;
  const { tokenIds, text } = chatTokenizerFor(template, job.maxPromptLength, loaded).tokenize(job.chat);
  return job.includeText ? { tokenIds, text } : { tokenIds };
}

function chatTokenizerFor(
  template: string,
  maxPromptLength: number,
  loaded: LoadedVocabulary,
): ChatTokenizer {
  const known = chatTokenizers.get(template);
  if (known !== undefined) return known;
  const { vocabulary, addSpacePrefix } = loaded;
  const { info } = loaded.report;
  const created = new ChatTokenizer({
    tokenizer: vocabulary,
    info,
    addSpacePrefix,
    template,
    maxPromptLength,
  });
  chatTokenizers.set(template, created);
  return created;
}

function load(modelPath: string): LoadedVocabulary | Error {
  try {
    const vocabulary = Vocabulary.load(modelPath);
    const info: VocabularyInfo = vocabulary.describe();
    const sampleTokenIds = vocabulary.tokenize(SAMPLE_TEXT, { addSpecial: false, parseSpecial: false });
    const report = { info, sampleTokenIds };
    return { vocabulary, report, addSpacePrefix: toTextVocabulary(report).addSpacePrefix };
  } catch (error) {
    return error instanceof Error ? error : new Error("unknown failure");
  }
}
