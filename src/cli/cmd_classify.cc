// SPDX-License-Identifier: Apache-2.0
// paring classify: the labels of texts.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/encoder_session.h"
#include "cli/text_inputs.h"
#include "model/encoder_names.h"

namespace paring::cli {

namespace {

struct ClassifyFlags {
  EncoderFlags encoder;
  TextInputFlags inputs;
};

struct Classes {
  std::vector<float> logits;   // [texts, labels]
  std::vector<float> meaning;  // probabilities, or the values themselves
  EncoderWork work;
};

Result<Classes> classify(EncoderSession& session, const std::vector<std::string>& texts) {
  const Clock& clock = system_clock();
  const double begin = clock.monotonic_seconds();
  PARING_TRY(const std::vector<engine::EncodedText> encoded, encode_texts(*session.encoder, texts));
  const double middle = clock.monotonic_seconds();
  Classes classes;
  classes.logits = session.encoder->classify(encoded);
  classes.work = count_work(encoded);
  classes.work.tokenize_seconds = middle - begin;
  classes.work.compute_seconds = clock.monotonic_seconds() - middle;
  PARING_TRY_VOID(check_finite(classes.logits, session.model->path));
  classes.meaning = classes.logits;
  const std::size_t labels = session.encoder->spec().labels;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    engine::to_probabilities(session.encoder->spec().label_kind,
                             std::span(classes.meaning).subspan(i * labels, labels));
  }
  return classes;
}

// The best label of one text; of several that may hold, all above one half.
std::string verdict(const model::EncoderSpec& spec, std::span<const float> values) {
  std::string text;
  const std::size_t best =
      static_cast<std::size_t>(std::max_element(values.begin(), values.end()) - values.begin());
  for (std::size_t label = 0; label < values.size(); ++label) {
    const bool is_shown = spec.label_kind == model::LabelKind::kOneOf   ? label == best
                          : spec.label_kind == model::LabelKind::kAnyOf ? values[label] > 0.5F
                                                                        : true;
    if (!is_shown) continue;
    text += fmt::format("{}{} {:.4f}", text.empty() ? "" : ", ",
                        escape_control(model::label_name(spec, label)), values[label]);
  }
  return text.empty() ? "none" : text;
}

Json to_json(const Context& context, const ClassifyFlags& flags, const EncoderSession& session,
             const Classes& classes) {
  const model::EncoderSpec& spec = session.encoder->spec();
  Json results = Json::array();
  for (std::size_t i = 0; i * spec.labels < classes.logits.size(); ++i) {
    Json labels = Json::array();
    for (std::size_t label = 0; label < spec.labels; ++label) {
      const std::size_t at = i * spec.labels + label;
      Json one = {{"label", model::label_name(spec, label)}, {"logit", classes.logits[at]}};
      if (spec.label_kind != model::LabelKind::kValue) one["probability"] = classes.meaning[at];
      labels.push_back(std::move(one));
    }
    results.push_back({{"index", i}, {"labels", std::move(labels)}});
  }
  return {{"model", flags.encoder.model},
          {"problem_type", model::label_kind_name(spec.label_kind)},
          {"numerics", numerics_name(context.numerics())},
          {"work", work_json(classes.work)},
          {"results", std::move(results)}};
}

Result<void> run(Context& context, const ClassifyFlags& flags) {
  PARING_TRY(const std::vector<std::string> texts, read_texts(flags.inputs));
  PARING_TRY(EncoderSession session, open_encoder(context, flags.encoder));
  const model::EncoderSpec& spec = session.encoder->spec();
  if (spec.labels == 0) {
    return invalid_argument(fmt::format("{} has no classification head", session.model->path),
                            "'paring embed' turns texts into vectors");
  }
  PARING_TRY(const Classes classes, classify(session, texts));
  if (flags.encoder.is_json) {
    context.output().write_json(to_json(context, flags, session, classes));
    return {};
  }
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto values = std::span(classes.meaning).subspan(i * spec.labels, spec.labels);
    context.output().write(fmt::format("{}\t{}\n", i + 1, verdict(spec, values)));
  }
  print_work(classes.work);
  return {};
}

std::function<Result<void>(Context&)> define(CLI::App& app) {
  const auto flags = std::make_shared<ClassifyFlags>();
  define_encoder(app, flags->encoder);
  define_texts(app, "TEXT", flags->inputs);
  return [flags](Context& context) { return run(context, *flags); };
}

}  // namespace

extern const Command kClassify;
const Command kClassify{"classify", "Tell the labels of texts",
                        "  paring classify sentiment-model \"a fine day\" \"a long queue\"\n"
                        "  paring classify model.gguf --file reviews.jsonl --field text --json\n",
                        /*is_hidden=*/false, define};

}  // namespace paring::cli
