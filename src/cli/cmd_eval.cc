// SPDX-License-Identifier: Apache-2.0
// paring eval: perplexity, and divergence from a base model.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/figures.h"
#include "cli/table.h"
#include "engine/open_model.h"
#include "io/mapped_file.h"
#include "measure/builtin_text.h"
#include "measure/compare.h"
#include "measure/windows.h"
#include "model/architecture.h"

namespace paring::cli {

namespace {

constexpr const char* kProtocol =
    "llama.cpp's: windows of the whole text, the second half of each is scored";

struct EvalFlags {
  std::string model;
  std::string against;
  std::string text_path;
  std::size_t context = 512;
  std::size_t windows = 0;
  bool is_json = false;
};

Result<measure::Windows> cut_text(const engine::LoadedModel& model, const EvalFlags& flags) {
  const measure::WindowOptions options{.context = flags.context, .windows_max = flags.windows};
  if (flags.text_path.empty()) {
    return measure::cut_windows(*model.tokenizer, model.add_bos, "built-in holdout",
                                measure::holdout_text(), options);
  }
  PARING_TRY(const io::MappedFile file, io::MappedFile::open(flags.text_path));
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()),
                              file.bytes().size());
  const std::size_t slash = flags.text_path.find_last_of('/');
  return measure::cut_windows(*model.tokenizer, model.add_bos, flags.text_path.substr(slash + 1),
                              text, options);
}

// Bytes beside the weights: step buffers, cache, and the base's logits.
std::size_t extra_bytes(const model::BlockSpec& spec, const EvalFlags& flags, std::size_t threads) {
  const std::size_t tokens = std::max(flags.context, measure::kEvalTokensMax);
  return model::Forward::bytes_for(spec, tokens, threads) +
         tokens * model::KvPool::bytes_per_token(spec, kernels::KvType::kF32) +
         model::kLogitRowsMax * spec.vocabulary * sizeof(float);
}

Result<engine::LoadedModel> load_for_eval(Context& context, const std::string& name,
                                          const EvalFlags& flags) {
  PARING_TRY(const std::string path, context.resolve(name));
  PARING_TRY(Executor * executor, context.executor());
  PARING_TRY(const io::ModelFile file, engine::open_model(path));
  PARING_TRY(const model::BlockSpec spec, model::read_block_spec(file));
  return context.load(name, extra_bytes(spec, flags, executor->threads()));
}

// A divergence compares probabilities token by token: both models must mean the same by each.
Result<void> check_same_vocabulary(const engine::LoadedModel& model,
                                   const engine::LoadedModel& base) {
  const char* hint = "a divergence needs two models with one vocabulary; leave out --against";
  const std::size_t model_size = model.model->spec().vocabulary;
  const std::size_t base_size = base.model->spec().vocabulary;
  if (model_size != base_size) {
    return invalid_argument(fmt::format("{} has a vocabulary of {} tokens, {} one of {}",
                                        model.path, model_size, base.path, base_size),
                            hint);
  }
  PARING_TRY(const auto tokens, model.file.metadata().strings("tokenizer.ggml.tokens"));
  PARING_TRY(const auto base_tokens, base.file.metadata().strings("tokenizer.ggml.tokens"));
  const auto [token, other] =
      std::mismatch(tokens.begin(), tokens.end(), base_tokens.begin(), base_tokens.end());
  if (token == tokens.end() && other == base_tokens.end()) return {};
  return invalid_argument(fmt::format("the vocabularies of {} and {} differ from token {} on",
                                      model.path, base.path, token - tokens.begin()),
                          hint);
}

struct Evaluation {
  measure::Windows windows;
  measure::Perplexity perplexity;
  std::optional<measure::Divergence> divergence;
};

Result<Evaluation> evaluate(Context& context, const EvalFlags& flags) {
  PARING_TRY(Executor * executor, context.executor());
  PARING_TRY(const engine::LoadedModel model, load_for_eval(context, flags.model, flags));
  const model::ModelView view(*model.model);
  const measure::EvalOptions options{context.numerics(), context.kv_type()};
  Evaluation result;
  PARING_TRY(result.windows, cut_text(model, flags));
  PARING_TRY(const auto evaluator,
             measure::Evaluator::create(model.model->spec(), flags.context, *executor));
  if (flags.against.empty()) {
    PARING_TRY(result.perplexity,
               measure::perplexity(*evaluator, view, result.windows, options, context.progress()));
    return result;
  }
  PARING_TRY(const engine::LoadedModel base, load_for_eval(context, flags.against, flags));
  PARING_TRY_VOID(check_same_vocabulary(model, base));
  PARING_TRY(const measure::Windows base_windows, cut_text(base, flags));
  if (base_windows.windows != result.windows.windows) {
    return invalid_argument(
        fmt::format("{} and {} turn this text into different tokens", model.path, base.path),
        "a divergence needs two models with one tokenizer; leave out --against");
  }
  PARING_TRY(auto base_evaluator,
             measure::Evaluator::create(base.model->spec(), flags.context, *executor));
  const model::ModelView base_view(*base.model);
  PARING_TRY(const measure::BaseRun run,
             measure::BaseRun::create(*base_evaluator, base_view, result.windows,
                                      measure::kExactOptions, context.progress()));
  base_evaluator.reset();
  PARING_TRY(result.divergence,
             measure::compare(*evaluator, run, view, options, context.progress()));
  result.perplexity = result.divergence->model;
  return result;
}

Json to_json(const Context& context, const EvalFlags& flags, const Evaluation& result) {
  Json json;
  json["model"] = flags.model;
  json["text"] = windows_json(result.windows);
  json["protocol"] = kProtocol;
  json["numerics"] = numerics_name(context.numerics());
  json["kv_type"] = kv_type_name(context.kv_type());
  json["isa"] = kernels::kernels().isa;
  json["perplexity"] = perplexity_json(result.perplexity);
  if (result.divergence) {
    json["against"] = flags.against;
    json["base_numerics"] = "exact, f32 cache";
    json["divergence"] = divergence_json(*result.divergence);
  }
  return json;
}

std::string to_text(const Context& context, const EvalFlags& flags, const Evaluation& result) {
  const measure::Windows& windows = result.windows;
  Facts facts;
  facts.add("text", fmt::format("{} (sha256 {})", windows.name, windows.sha256.substr(0, 12)));
  facts.add("protocol",
            fmt::format("{}; {} windows of {} tokens, {} scored", kProtocol, windows.windows.size(),
                        windows.context, windows.scored_tokens()));
  facts.add("model computed in",
            fmt::format("{} numerics, {} cache, {}", numerics_name(context.numerics()),
                        kv_type_name(context.kv_type()), kernels::kernels().isa));
  if (!result.divergence) {
    facts.add("perplexity", fmt::format("{:.4f} +- {:.4f}", result.perplexity.value,
                                        result.perplexity.standard_error));
    return facts.render();
  }
  facts.add("base", fmt::format("{}, exact numerics, f32 cache", flags.against));
  return facts.render() + "\n" + divergence_text(*result.divergence);
}

Result<void> run(Context& context, const EvalFlags& flags) {
  PARING_TRY(const Evaluation result, evaluate(context, flags));
  if (flags.is_json) {
    context.output().write_json(to_json(context, flags, result));
  } else {
    context.output().write(to_text(context, flags, result));
  }
  return {};
}

std::function<Result<void>(Context&)> define(CLI::App& app) {
  const auto flags = std::make_shared<EvalFlags>();
  app.add_option("MODEL", flags->model, "GGUF file to judge")->required()->type_name("");
  app.add_option("--against", flags->against,
                 "Base model: KL divergence and top-1 agreement to it, in exact numerics")
      ->type_name("BASE");
  app.add_option("--text", flags->text_path, "Text file; the default is built in")
      ->type_name("FILE");
  app.add_option("--context", flags->context, "Tokens of a window")
      ->capture_default_str()
      ->check(CLI::Range(4, 1 << 20))
      ->type_name("N");
  app.add_option("--windows", flags->windows, "Only the first N windows; 0: all")
      ->capture_default_str()
      ->type_name("N");
  add_json_flag(app, flags->is_json);
  return [flags](Context& context) { return run(context, *flags); };
}

}  // namespace

extern const Command kEval;
const Command kEval{"eval", "Perplexity, and divergence from a base model",
                    "  paring eval small.gguf\n"
                    "  paring eval small.gguf --against model.gguf\n"
                    "  paring eval model.gguf --text wiki.test.raw --windows 32 --numerics exact\n",
                    /*is_hidden=*/false, define};

}  // namespace paring::cli
