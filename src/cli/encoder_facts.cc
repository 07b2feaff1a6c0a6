// SPDX-License-Identifier: Apache-2.0
#include "cli/encoder_facts.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string>

#include "base/text.h"
#include "cli/figures.h"
#include "model/encoder_names.h"

namespace paring::cli {

namespace {

constexpr std::size_t kShownLabels = 8;

std::string vectors_text(const model::EncoderSpec& encoder) {
  const std::string length = encoder.is_normalized ? ", of length 1" : "";
  switch (encoder.pooling) {
    case model::Pooling::kNone:
      return "one a token";
    case model::Pooling::kMean:
      return "mean of all tokens" + length;
    case model::Pooling::kFirst:
      return "that of the first token" + length;
    case model::Pooling::kLast:
      break;
  }
  return "that of the last token" + length;
}

std::string labels_text(const model::EncoderSpec& encoder) {
  std::string text;
  for (std::size_t label = 0; label < encoder.labels && label < kShownLabels; ++label) {
    text += (text.empty() ? "" : ", ") + escape_control(model::label_name(encoder, label));
  }
  if (encoder.labels > kShownLabels)
    text += fmt::format(" and {} more", encoder.labels - kShownLabels);
  return fmt::format("{} ({})", text, model::label_kind_name(encoder.label_kind));
}

}  // namespace

Json encoder_json(const Inspection& found) {
  const model::BlockSpec& spec = *found.spec;
  const model::EncoderSpec& encoder = *spec.encoder;
  Json labels = Json::array();
  for (std::size_t label = 0; label < encoder.labels; ++label) {
    labels.push_back(model::label_name(encoder, label));
  }
  Json json = {{"activation", model::activation_name(encoder.activation)},
               {"token_types", encoder.token_types},
               {"pooling", model::pooling_name(encoder.pooling)},
               {"normalized", encoder.is_normalized},
               {"labels", std::move(labels)}};
  json["problem_type"] =
      encoder.labels == 0 ? Json() : Json(model::label_kind_name(encoder.label_kind));
  return json;
}

void add_encoder_facts(const Inspection& found, Facts& facts) {
  const model::BlockSpec& spec = *found.spec;
  const model::EncoderSpec& encoder = *spec.encoder;
  facts.add("layers", fmt::format("{} of width {}, feed-forward {} ({})", spec.layers, spec.width,
                                  spec.ffn_width, model::activation_name(encoder.activation)));
  facts.add("attention",
            fmt::format("{} heads of {}, in both directions", spec.heads, spec.head_width));
  facts.add("positions", fmt::format("{} tokens", group_digits(spec.context_max)));
  if (encoder.labels == 0) {
    facts.add("vector of a text", vectors_text(encoder));
  } else {
    facts.add("labels", labels_text(encoder));
  }
  facts.gap();
  facts.add("memory to run",
            fmt::format("{}: weights {}, buffers {}", format_bytes(found.memory.total()),
                        format_bytes(found.memory.weight_bytes),
                        format_bytes(found.memory.buffer_bytes)));
  if (found.peak_bytes != 0) {
    facts.add("peak of the process", fmt::format("about {}, loading and tokenizer included",
                                                 format_bytes(found.peak_bytes)));
  }
  facts.add(fmt::format("work of a text of {} tokens", found.shape.context_tokens),
            format_operations(found.prefill_operations));
}

}  // namespace paring::cli
