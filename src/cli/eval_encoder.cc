// SPDX-License-Identifier: Apache-2.0
// paring eval of an encoder: how far its vectors, and the outputs of its head, agree with those of
// a base in exact numerics.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/sha256.h"
#include "cli/encoder_session.h"
#include "cli/eval.h"
#include "cli/table.h"
#include "cli/text_inputs.h"
#include "engine/open_model.h"
#include "io/mapped_file.h"
#include "measure/agreement.h"
#include "measure/builtin_text.h"
#include "model/architecture.h"

namespace paring::cli {

namespace {

struct Texts {
  std::string name;
  std::string sha256;
  std::vector<std::string> lines;
};

Result<Texts> read_lines(const EvalFlags& flags) {
  Texts texts{"built-in held-out text", "", {}};
  io::MappedFile map;
  std::string_view content = measure::holdout_text();
  if (!flags.text_path.empty()) {
    PARING_TRY(map, io::MappedFile::open(flags.text_path));
    if (map.bytes().size() > kTextsBytesMax) {
      return exhausted(fmt::format("{} has {} bytes, the limit is {}", flags.text_path,
                                   map.bytes().size(), kTextsBytesMax));
    }
    content = map.text();
    texts.name = flags.text_path;
  }
  texts.sha256 = sha256_hex(content);
  PARING_TRY(std::vector<std::string> all, lines_of(content, ""));
  for (std::string& line : all) {
    const bool is_blank = line.find_first_not_of(" \t") == std::string::npos;
    if (!is_blank) texts.lines.push_back(std::move(line));
  }
  if (texts.lines.empty()) return invalid_argument(texts.name + " holds no text");
  return texts;
}

// Flags that make sense for next tokens alone.
Result<void> check_flags(const EvalFlags& flags) {
  const char* given = flags.protocol != measure::Protocol::kLlamaCpp ? "--protocol"
                      : flags.context != 0                           ? "--context"
                      : flags.windows != 0                           ? "--windows"
                      : !flags.journal_path.empty()                  ? "--journal"
                                                                     : nullptr;
  if (given == nullptr) return {};
  return invalid_argument(
      fmt::format("{} is an encoder, {} is for models that generate text", flags.model, given),
      "an encoder is judged by its vectors of the lines of --text");
}

struct Side {
  std::size_t width = 0;
  std::size_t labels = 0;
  std::size_t cut_texts = 0;
  std::size_t tokens = 0;
  std::vector<float> vectors;  // [texts, width]
  std::vector<float> outputs;  // [texts, labels]
};

Result<Side> run_side(Context& context, const std::string& name, const Texts& texts,
                      model::Numerics numerics) {
  PARING_TRY(Executor * executor, context.executor());
  PARING_TRY(const engine::LoadedModel loaded, context.load(name, 0, engine::ModelKind::kEncoder));
  engine::TextEncoderOptions options;
  options.numerics = numerics;
  options.truncates = true;
  if (loaded.model->spec().encoder->pooling == model::Pooling::kNone) {
    options.pooling = model::Pooling::kMean;
  }
  PARING_TRY(const auto encoder, engine::TextEncoder::create(loaded, *executor, options));
  PARING_TRY(const auto encoded, encode_texts(*encoder, texts.lines));
  const EncoderWork work = count_work(encoded);
  Side side{encoder->width(), encoder->spec().labels,  work.cut_texts,
            work.tokens,      encoder->embed(encoded), {}};
  if (side.labels != 0) side.outputs = encoder->classify(encoded);
  PARING_TRY_VOID(check_finite(side.vectors, loaded.path));
  PARING_TRY_VOID(check_finite(side.outputs, loaded.path));
  return side;
}

// Of the outputs of a head: how far they lie apart, and how often the largest is the same.
struct HeadAgreement {
  double mean_difference = 0;
  double largest_difference = 0;
  double same_label = 0;  // share of the texts
};

HeadAgreement head_agreement(const Side& model, const Side& base) {
  HeadAgreement found;
  const std::size_t labels = model.labels;
  const std::size_t texts = model.outputs.size() / labels;
  const auto best = [&](const Side& side, std::size_t text) {
    const float* row = side.outputs.data() + text * labels;
    return std::max_element(row, row + labels) - row;
  };
  for (std::size_t text = 0; text < texts; ++text) {
    found.same_label += best(model, text) == best(base, text) ? 1 : 0;
  }
  for (std::size_t i = 0; i < model.outputs.size(); ++i) {
    const double difference =
        std::fabs(static_cast<double>(model.outputs[i]) - static_cast<double>(base.outputs[i]));
    found.mean_difference += difference;
    found.largest_difference = std::max(found.largest_difference, difference);
  }
  found.same_label /= static_cast<double>(texts);
  found.mean_difference /= static_cast<double>(model.outputs.size());
  return found;
}

void print_json(Context& context, const EvalFlags& flags, const Texts& texts, const Side& model,
                const measure::Agreement& vectors, const HeadAgreement& head,
                const std::string& base) {
  Json json = {
      {"model", flags.model},          {"against", base},
      {"base_numerics", "exact"},      {"numerics", numerics_name(context.numerics())},
      {"isa", kernels::kernels().isa}, {"text", {{"name", texts.name}, {"sha256", texts.sha256}}},
      {"texts", vectors.texts},        {"cut_texts", model.cut_texts},
      {"tokens", model.tokens}};
  json["cosine"] = {{"mean", vectors.mean},
                    {"min", vectors.least},
                    {"p1", vectors.percentile_1},
                    {"p5", vectors.percentile_5},
                    {"median", vectors.median}};
  if (model.labels != 0) {
    json["outputs"] = {{"mean_difference", head.mean_difference},
                       {"largest_difference", head.largest_difference},
                       {"same_label", model.labels == 1 ? Json() : Json(head.same_label)}};
  }
  context.output().write_json(json);
}

void print_text(Context& context, const Texts& texts, const Side& model,
                const measure::Agreement& vectors, const HeadAgreement& head,
                const std::string& base) {
  Facts facts;
  facts.add("text", fmt::format("{} (sha256 {}): {} lines, {} tokens", texts.name,
                                texts.sha256.substr(0, 12), vectors.texts, model.tokens));
  if (model.cut_texts != 0) {
    facts.add("cut", fmt::format("{} lines longer than the model's positions", model.cut_texts));
  }
  facts.add("model computed in", fmt::format("{} numerics, {}", numerics_name(context.numerics()),
                                             kernels::kernels().isa));
  facts.add("base", fmt::format("{}, exact numerics", base));
  facts.add("cosine of the vectors",
            fmt::format("mean {:.6f}, median {:.6f}, 5 % below {:.6f}, 1 % below {:.6f}, least "
                        "{:.6f}",
                        vectors.mean, vectors.median, vectors.percentile_5, vectors.percentile_1,
                        vectors.least));
  if (model.labels != 0) {
    facts.add("outputs of the head", fmt::format("differ by {:.5f} in the mean, at most {:.5f}",
                                                 head.mean_difference, head.largest_difference));
  }
  if (model.labels > 1) facts.add("same label", fmt::format("{:.2f} %", 100 * head.same_label));
  context.output().write(facts.render());
}

}  // namespace

Result<bool> is_encoder(Context& context, const std::string& name) {
  PARING_TRY(const std::string path, context.resolve(name));
  PARING_TRY(const io::ModelFile file, engine::open_model(path));
  PARING_TRY(const model::BlockSpec spec, model::read_block_spec(file));
  return spec.encoder.has_value();
}

Result<void> eval_encoder(Context& context, const EvalFlags& flags) {
  PARING_TRY_VOID(check_flags(flags));
  const std::string& base_name = flags.against.empty() ? flags.model : flags.against;
  PARING_TRY(const Texts texts, read_lines(flags));
  PARING_TRY(const Side base, run_side(context, base_name, texts, model::Numerics::kExact));
  PARING_TRY(const Side model, run_side(context, flags.model, texts, context.numerics()));
  if (model.width != base.width || model.labels != base.labels) {
    return invalid_argument(
        fmt::format("{} has vectors of {} values and {} labels, {} has {} and {}", flags.model,
                    model.width, model.labels, base_name, base.width, base.labels),
        "agreement needs two models of one kind");
  }
  const measure::Agreement vectors = measure::agreement(model.vectors, base.vectors, model.width);
  const HeadAgreement head = model.labels == 0 ? HeadAgreement{} : head_agreement(model, base);
  if (flags.is_json) {
    print_json(context, flags, texts, model, vectors, head, base_name);
  } else {
    print_text(context, texts, model, vectors, head, base_name);
  }
  return {};
}

}  // namespace paring::cli
