// SPDX-License-Identifier: Apache-2.0
// paring eval: perplexity and divergence from a base model over a text, or scores of tasks.
#include <fmt/format.h>

#include <map>

#include "cli/commands.h"
#include "cli/eval.h"
#include "engine/variant_of.h"
#include "measure/tasks/task.h"

namespace paring::cli {

Result<measure::Journal> open_journal(const EvalFlags& flags) {
  if (flags.journal_path.empty()) return measure::Journal();
  return measure::Journal::open(flags.journal_path);
}

std::string variant_id(const Context& context, const engine::LoadedModel& loaded) {
  return engine::variant_of(loaded, numerics_name(context.numerics()),
                            kernels::kv_type_name(context.kv_type(loaded.file)),
                            kernels::kernels().isa)
      .id();
}

namespace {

void define_tasks(CLI::App& app, EvalFlags& flags) {
  std::string names;
  for (const measure::Task* task : measure::tasks()) {
    names += names.empty() ? task->name : fmt::format(", {}", task->name);
  }
  CLI::Option* tasks =
      app.add_option("--tasks", flags.tasks,
                     "Scores of these tasks instead of a text, separated by commas: " + names)
          ->delimiter(',')
          ->type_name("NAMES");
  for (const char* of_text : {"--text", "--protocol", "--context", "--windows"}) {
    tasks->excludes(app.get_option(of_text));
  }
  app.add_option("--data", flags.data_path,
                 "Items of the tasks: a file of JSON lines, or a folder; a slice is built in")
      ->needs(tasks)
      ->type_name("PATH");
  app.add_option("--limit", flags.limit, "Only the first N items of each task; 0: all")
      ->needs(tasks)
      ->capture_default_str()
      ->check(CLI::Range(0, 1 << 30))
      ->type_name("N");
  app.add_option("--shots", flags.shots,
                 "Solved examples before each question of a generation task, unless its own number")
      ->needs(tasks)
      ->check(CLI::Range(0, 1 << 10))
      ->type_name("N");
  app.add_option("--samples", flags.samples_path,
                 "Write what each item was answered, as JSON lines")
      ->needs(tasks)
      ->type_name("FILE");
}

std::function<Result<void>(Context&)> define(CLI::App& app) {
  const auto flags = std::make_shared<EvalFlags>();
  app.add_option("MODEL", flags->model, "GGUF file or Hugging Face folder to judge")
      ->required()
      ->type_name("");
  app.add_option("--against", flags->against,
                 "Base model: KL divergence and top-1 agreement to it, in exact numerics; of an "
                 "encoder cosines of vectors, to itself in exact numerics where none is named")
      ->type_name("BASE");
  app.add_option("--text", flags->text_path,
                 "Text file; the default is built in. Of an encoder each line is a text")
      ->type_name("FILE");
  CLI::Transformer protocols(std::map<std::string, measure::Protocol>{
      {"llama.cpp", measure::Protocol::kLlamaCpp}, {"papers", measure::Protocol::kPapers}});
  protocols.description("{llama.cpp,papers}");  // the default one would show the enumerators' bytes
  app.add_option("--protocol", flags->protocol,
                 "llama.cpp: windows of 512 tokens, second half scored; papers: windows of 2048 "
                 "tokens, all scored, lines joined by blank lines")
      ->transform(protocols)
      ->default_str("llama.cpp")
      ->type_name("NAME");
  app.add_option("--context", flags->context, "Tokens of a window, unless the protocol's")
      ->check(CLI::Range(4, 1 << 20))
      ->type_name("N");
  app.add_option("--windows", flags->windows, "Only the first N windows; 0: all")
      ->capture_default_str()
      ->check(CLI::Range(0, 1 << 20))
      ->type_name("N");
  define_tasks(app, *flags);
  app.add_option("--journal", flags->journal_path,
                 "Results are kept in FILE as they come; the same command goes on where a run that "
                 "was stopped ended")
      ->type_name("FILE");
  add_json_flag(app, flags->is_json);
  return [flags](Context& context) -> Result<void> {
    const OnInterrupt interrupted(
        flags->journal_path.empty()
            ? "\nparing: stopped; nothing is kept of what was measured; with --journal FILE the "
              "next run could go on\n"
            : "\nparing: stopped; what was measured is in the --journal, and the same command goes "
              "on where this one was\n");
    if (!flags->tasks.empty()) return eval_tasks(context, *flags);
    PARING_TRY(const bool is_of_vectors, is_encoder(context, flags->model));
    return is_of_vectors ? eval_encoder(context, *flags) : eval_text(context, *flags);
  };
}

}  // namespace

extern const Command kEval;
const Command kEval{
    "eval", "Perplexity, divergence from a base model, scores of tasks, agreement of vectors",
    "  paring eval small.gguf\n"
    "  paring eval small.gguf --against model.gguf\n"
    "  paring eval model.gguf --text wiki.test.raw --protocol papers\n"
    "  paring eval small.gguf --against model.gguf --tasks hellaswag,arc_easy\n"
    "  paring eval model.gguf --text wiki.test.raw --windows 32 --numerics exact\n",
    /*is_hidden=*/false, define};

}  // namespace paring::cli
