// SPDX-License-Identifier: Apache-2.0
#include "cli/speculation_options.h"

#include <fmt/format.h>

#include "engine/open_model.h"
#include "model/architecture.h"

namespace paring::cli {

void add_speculation_options(CLI::App& app, SpeculationOptions& options) {
  app.add_option("--speculative", options.how,
                 "Guess tokens and check several in one step, where that is faster; the answer "
                 "stays the same. ngram guesses from what the text said before, draft with "
                 "--draft-model, auto with all there is")
      ->capture_default_str()
      ->check(CLI::IsMember({"auto", "ngram", "draft", "off"}))
      ->type_name("HOW");
  app.add_option("--draft-model", options.draft_model,
                 "Smaller model of the same vocabulary that guesses tokens")
      ->type_name("MODEL");
  app.add_option("--draft-tokens", options.draft_tokens, "Tokens guessed at once, at most")
      ->capture_default_str()
      ->check(CLI::Range(std::size_t{1}, engine::kDraftTokensMax))
      ->type_name("N");
}

Result<void> check_speculation_options(const SpeculationOptions& options) {
  const bool has_draft = !options.draft_model.empty();
  if (has_draft && options.how != "auto" && options.how != "draft") {
    return invalid_argument(
        fmt::format("--draft-model is given beside --speculative {}", options.how),
        "leave out one of them; --speculative auto uses the draft model");
  }
  if (!has_draft && options.how == "draft") {
    return invalid_argument("--speculative draft needs a draft model", "give --draft-model MODEL");
  }
  return {};
}

Result<std::unique_ptr<engine::LoadedModel>> set_speculation(Context& context,
                                                             const SpeculationOptions& options,
                                                             engine::GeneratorOptions& generator) {
  generator.uses_ngrams = options.how == "auto" || options.how == "ngram";
  generator.speculation.tokens_max = options.draft_tokens;
  if (options.draft_model.empty()) return std::unique_ptr<engine::LoadedModel>();
  PARING_TRY(const std::string path, context.resolve(options.draft_model));
  PARING_TRY(Executor * executor, context.executor());
  std::size_t extra = 0;
  {
    PARING_TRY(const io::ModelFile file, engine::open_model(path));
    PARING_TRY(const model::BlockSpec spec, model::read_block_spec(file));
    extra = engine::Generator::draft_bytes_for(spec, generator, executor->threads());
  }
  PARING_TRY(engine::LoadedModel loaded,
             engine::LoadedModel::load(path, *executor, {.extra_bytes = extra}));
  auto draft = std::make_unique<engine::LoadedModel>(std::move(loaded));
  generator.draft_model = draft.get();
  return draft;
}

}  // namespace paring::cli
