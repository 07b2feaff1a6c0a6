// SPDX-License-Identifier: Apache-2.0
// The part of paring eval that reads a text.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/eval.h"
#include "cli/figures.h"
#include "cli/table.h"
#include "engine/open_model.h"
#include "engine/variant_of.h"
#include "measure/builtin_text.h"
#include "measure/rescoring.h"
#include "measure/text_eval.h"
#include "model/architecture.h"

namespace paring::cli {

namespace {

Result<measure::Windows> cut_text(const engine::LoadedModel& model, const EvalFlags& flags) {
  const measure::WindowOptions options{
      .protocol = flags.protocol, .context = flags.context_tokens(), .windows_max = flags.windows};
  if (flags.text_path.empty()) {
    return measure::cut_windows(*model.tokenizer, model.add_bos, "built-in holdout",
                                measure::holdout_text(), options);
  }
  PARING_TRY(const std::string text, measure::read_text(flags.text_path));
  const std::size_t slash = flags.text_path.find_last_of('/');
  return measure::cut_windows(*model.tokenizer, model.add_bos, flags.text_path.substr(slash + 1),
                              text, options);
}

// Bytes beside the weights: step buffers, cache, and the base's logits.
std::size_t extra_bytes(const model::BlockSpec& spec, const EvalFlags& flags, std::size_t threads) {
  const std::size_t tokens = std::max(flags.context_tokens(), measure::kEvalTokensMax);
  return model::Forward::bytes_for(
             spec, {.tokens_max = tokens, .context_tokens = flags.context_tokens()}, threads) +
         tokens * model::KvPool::bytes_per_token(spec, kernels::KvType::kF32) +
         model::kLogitRowsMax * spec.vocabulary * sizeof(float);
}

Result<engine::LoadedModel> load_for_eval(Context& context, const std::string& name,
                                          const EvalFlags& flags) {
  PARING_TRY(const std::string path, context.resolve(name));
  PARING_TRY(Executor * executor, context.executor());
  PARING_TRY(const io::ModelFile file, engine::open_model(path));
  PARING_TRY(const model::BlockSpec spec, model::read_block_spec(file));
  if (flags.context_tokens() > spec.context_max) {
    return invalid_argument(fmt::format("windows of {} tokens were asked for, {} was made for {}",
                                        flags.context_tokens(), path, spec.context_max),
                            "give a smaller --context");
  }
  return context.load(name, extra_bytes(spec, flags, executor->threads()));
}

// Both models must read the same tokens.
Result<void> check_same_tokens(const engine::LoadedModel& model, const engine::LoadedModel& base,
                               const measure::Windows& windows, const EvalFlags& flags) {
  PARING_TRY_VOID(measure::check_same_vocabulary(model, base));
  PARING_TRY(const measure::Windows base_windows, cut_text(base, flags));
  if (base_windows.windows == windows.windows) return {};
  return invalid_argument(
      fmt::format("{} and {} turn this text into different tokens", model.path, base.path),
      "a divergence needs two models with one tokenizer; leave out --against");
}

struct Evaluation {
  measure::Windows windows;
  std::string variant;
  std::string base_variant;
  kernels::KvType kv_type = kernels::KvType::kQ8;
  measure::TextFigures figures;
};

Result<Evaluation> evaluate(Context& context, const EvalFlags& flags) {
  PARING_TRY(Executor * executor, context.executor());
  PARING_TRY(const engine::LoadedModel model, load_for_eval(context, flags.model, flags));
  const model::ModelView view(*model.model);
  const measure::EvalOptions options{context.numerics(), context.kv_type(model.file)};
  Evaluation result;
  PARING_TRY(result.windows, cut_text(model, flags));
  const auto make_evaluator = [&](const engine::LoadedModel& loaded) {
    return measure::Evaluator::create(loaded.model->spec(), flags.context_tokens(), *executor);
  };
  PARING_TRY(const auto evaluator, make_evaluator(model));
  const measure::TextSide side{*evaluator, view};
  PARING_TRY(measure::Journal journal, open_journal(flags));
  result.variant = variant_id(context, model);
  result.kv_type = options.kv_type;
  const auto journal_for = [&](const std::string& base) {
    return measure::TextJournal{journal,
                                measure::text_run_key(result.windows, result.variant, base)};
  };
  if (flags.against.empty()) {
    PARING_TRY(result.figures, measure::evaluate_text(side, nullptr, result.windows, options,
                                                      journal_for(""), context.progress()));
    return result;
  }
  PARING_TRY(const engine::LoadedModel base, load_for_eval(context, flags.against, flags));
  PARING_TRY_VOID(check_same_tokens(model, base, result.windows, flags));
  PARING_TRY(const auto base_evaluator, make_evaluator(base));
  const model::ModelView base_view(*base.model);
  result.base_variant = engine::variant_of(base, "exact", "f32", kernels::kernels().isa).id();
  const measure::TextSide base_side{*base_evaluator, base_view};
  PARING_TRY(result.figures,
             measure::evaluate_text(side, &base_side, result.windows, options,
                                    journal_for(result.base_variant), context.progress()));
  return result;
}

Json labelled(Json figure, const measure::Windows& windows) {
  figure["protocol"] = measure::protocol_name(windows.protocol);
  figure["context"] = windows.context;
  return figure;
}

Json to_json(const Context& context, const EvalFlags& flags, const Evaluation& result) {
  const measure::Windows& windows = result.windows;
  Json json;
  json["model"] = flags.model;
  json["variant"] = result.variant;
  json["text"] = windows_json(windows);
  json["protocol"] = measure::protocol_name(windows.protocol);
  json["protocol_description"] = measure::protocol_description(windows.protocol);
  json["numerics"] = numerics_name(context.numerics());
  json["kv_type"] = kernels::kv_type_name(result.kv_type);
  json["isa"] = kernels::kernels().isa;
  json["perplexity"] = labelled(perplexity_json(result.figures.perplexity), windows);
  json["resumed_windows"] = result.figures.resumed_windows;
  if (!result.figures.divergence) return json;
  json["against"] = flags.against;
  json["base_variant"] = result.base_variant;
  json["base_numerics"] = "exact, f32 cache";
  json["divergence"] = labelled(divergence_json(*result.figures.divergence), windows);
  json["divergence"]["numerics"] = numerics_name(context.numerics());
  json["divergence"]["kv_type"] = kernels::kv_type_name(result.kv_type);
  Json& weights = json["divergence_weights_only"];
  weights = labelled(divergence_json(*result.figures.weights_only), windows);
  weights["numerics"] = "exact";
  weights["kv_type"] = "f32";
  return json;
}

std::string to_text(const Context& context, const EvalFlags& flags, const Evaluation& result) {
  const measure::Windows& windows = result.windows;
  Facts facts;
  facts.add("text", fmt::format("{} (sha256 {})", windows.name, windows.sha256.substr(0, 12)));
  facts.add("protocol",
            fmt::format("{}: {}; {} windows of {} tokens, {} scored",
                        measure::protocol_name(windows.protocol),
                        measure::protocol_description(windows.protocol), windows.windows.size(),
                        windows.context, windows.scored_tokens()));
  facts.add("model computed in",
            fmt::format("{} numerics, {} cache, {}", numerics_name(context.numerics()),
                        kernels::kv_type_name(result.kv_type), kernels::kernels().isa));
  const std::string label =
      fmt::format("{}-{}", measure::protocol_name(windows.protocol), windows.context);
  if (!result.figures.divergence) {
    const measure::Perplexity& perplexity = result.figures.perplexity;
    facts.add(fmt::format("perplexity ({})", label),
              fmt::format("{:.4f} +- {:.4f}", perplexity.value, perplexity.standard_error));
    return facts.render();
  }
  facts.add("base", fmt::format("{}, exact numerics, f32 cache", flags.against));
  const std::string asked = fmt::format("{}, {} cache", numerics_name(context.numerics()),
                                        kernels::kv_type_name(result.kv_type));
  return facts.render() + "\n" +
         divergence_table({{asked, &*result.figures.divergence},
                           {"weights only (exact, f32 cache)", &*result.figures.weights_only}},
                          label);
}

}  // namespace

Result<void> eval_text(Context& context, const EvalFlags& flags) {
  PARING_TRY(const Evaluation result, evaluate(context, flags));
  if (flags.is_json) {
    context.output().write_json(to_json(context, flags, result));
  } else {
    context.output().write(to_text(context, flags, result));
  }
  return {};
}

}  // namespace paring::cli
