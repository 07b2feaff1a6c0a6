// SPDX-License-Identifier: Apache-2.0
#include "engine/text_encoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "engine/token_work.h"

namespace paring::engine {

namespace {

using Kind = text::TemplatePiece::Kind;

// A step holds the longest text whole.
std::size_t step_tokens(std::size_t tokens_max) { return std::max(kEncoderStepTokens, tokens_max); }

// A model without token types, or with one, reads all tokens alike.
Result<void> fit_types(std::size_t token_types, std::vector<text::TemplatePiece>& pieces) {
  for (text::TemplatePiece& piece : pieces) {
    if (token_types <= 1) piece.type = 0;
    if (token_types > 1 && piece.type >= token_types) {
      return corrupt(fmt::format("the tokenizer gives token type {}, the model has {}", piece.type,
                                 token_types));
    }
  }
  return {};
}

std::size_t special_tokens(const std::vector<text::TemplatePiece>& pieces) {
  std::size_t count = 0;
  for (const text::TemplatePiece& piece : pieces) count += piece.ids.size();
  return count;
}

double weight_bytes_of(const LoadedModel& loaded) {
  double bytes = 0;
  for (const MatrixLoad& load : matrix_loads(model::ModelView(*loaded.model))) {
    if (!load.is_gathered) bytes += load.bytes;
  }
  return bytes;
}

}  // namespace

TextEncoder::TextEncoder(const LoadedModel& loaded, const TextEncoderOptions& options)
    : loaded_(loaded),
      numerics_(options.numerics),
      pooling_(options.pooling.value_or(loaded.model->spec().encoder->pooling)),
      is_normalized_(options.is_normalized.value_or(loaded.model->spec().encoder->is_normalized)),
      tokens_max_(options.tokens_max != 0 ? options.tokens_max : loaded.model->spec().context_max),
      weight_bytes_(weight_bytes_of(loaded)),
      truncates_(options.truncates) {}

std::size_t TextEncoder::bytes_for(const model::BlockSpec& spec, std::size_t tokens_max,
                                   std::size_t threads) {
  return model::Encoder::bytes_for(spec, step_tokens(tokens_max), threads);
}

Result<std::unique_ptr<TextEncoder>> TextEncoder::create(const LoadedModel& loaded,
                                                         Executor& executor,
                                                         const TextEncoderOptions& options) {
  const model::BlockSpec& spec = loaded.model->spec();
  if (!spec.encoder) {
    return invalid_argument(
        fmt::format("{} is a decoder ({})", loaded.path, spec.architecture),
        "embeddings, reranking and classification need an encoder such as BERT");
  }
  if (options.tokens_max > spec.context_max) {
    return invalid_argument(fmt::format("texts of {} tokens were asked for, {} has {} positions",
                                        options.tokens_max, loaded.path, spec.context_max));
  }
  std::unique_ptr<TextEncoder> made(new TextEncoder(loaded, options));
  const io::TokenizerFiles& files = loaded.file.tokenizer_files();
  if (files.tokenizer.bytes().empty()) {
    PARING_TRY(const text::TokenizerSpec tokens, read_tokenizer_spec(loaded.file.metadata()));
    made->templates_ = text::templates_of_spec(tokens);
  } else {
    PARING_TRY(made->templates_, text::templates_of_json(files.tokenizer.text()));
  }
  PARING_TRY_VOID(fit_types(spec.encoder->token_types, made->templates_.single));
  PARING_TRY_VOID(fit_types(spec.encoder->token_types, made->templates_.pair));
  PARING_TRY(made->encoder_,
             model::Encoder::create(spec, step_tokens(made->tokens_max_), executor));
  return made;
}

// The last text of the template is cut to what the rest leaves.
Result<EncodedText> TextEncoder::fill(const std::vector<text::TemplatePiece>& pieces,
                                      std::vector<std::int32_t> first,
                                      std::vector<std::int32_t> second, bool cuts) const {
  const bool is_pair = std::any_of(pieces.begin(), pieces.end(),
                                   [](const auto& piece) { return piece.kind == Kind::kSecond; });
  std::vector<std::int32_t>& last = is_pair ? second : first;
  const std::size_t fixed = special_tokens(pieces) + (is_pair ? first.size() : 0);
  const std::size_t total = fixed + last.size();
  EncodedText made;
  if (total > tokens_max_) {
    const bool can_cut = fixed < tokens_max_;
    if (!cuts || !can_cut) {
      return invalid_argument(
          fmt::format("the text has {} tokens, the limit is {}", total, tokens_max_),
          can_cut ? "split it, or have it cut with --truncate" : "shorten its first part");
    }
    last.resize(tokens_max_ - fixed);
    made.is_cut = true;
  }
  for (const text::TemplatePiece& piece : pieces) {
    const std::vector<std::int32_t>& ids = piece.kind == Kind::kSpecial ? piece.ids
                                           : piece.kind == Kind::kFirst ? first
                                                                        : second;
    made.tokens.insert(made.tokens.end(), ids.begin(), ids.end());
    made.types.insert(made.types.end(), ids.size(), piece.type);
  }
  if (made.tokens.empty()) return invalid_argument("the text has no tokens");
  const std::size_t vocabulary = loaded_.model->spec().vocabulary;
  for (const std::int32_t id : made.tokens) {
    if (id >= 0 && static_cast<std::size_t>(id) < vocabulary) continue;
    return corrupt(
        fmt::format("the tokenizer gives token {}, the embedding has {} rows", id, vocabulary));
  }
  return made;
}

Result<EncodedText> TextEncoder::encode(std::string_view text, std::optional<bool> cuts) const {
  PARING_TRY(std::vector<std::int32_t> ids, loaded_.tokenizer->encode(text, {}));
  return fill(templates_.single, std::move(ids), {}, cuts.value_or(truncates_));
}

Result<EncodedText> TextEncoder::encode_pair(std::string_view first,
                                             std::string_view second) const {
  PARING_TRY(std::vector<std::int32_t> ids, loaded_.tokenizer->encode(first, {}));
  PARING_TRY(std::vector<std::int32_t> more, loaded_.tokenizer->encode(second, {}));
  return fill(templates_.pair, std::move(ids), std::move(more), truncates_);
}

void TextEncoder::run(std::span<const EncodedText> texts, const OnStates& on_states) {
  run(model::ModelView(*loaded_.model), texts, on_states, nullptr);
}

void TextEncoder::run(const model::ModelView& view, std::span<const EncodedText> texts,
                      const OnStates& on_states, model::Taps* taps) {
  std::vector<model::EncoderText> step;
  for (std::size_t first = 0; first < texts.size();) {
    step.clear();
    std::size_t tokens = 0;
    std::size_t next = first;
    while (next < texts.size() && tokens + texts[next].tokens.size() <= encoder_->tokens_max()) {
      tokens += texts[next].tokens.size();
      step.push_back({texts[next].tokens, texts[next].types});
      ++next;
    }
    PARING_CHECK(next > first, "a text fits a step");
    const std::span<const float> states =
        encoder_->run(view, step, {.numerics = numerics_, .taps = taps});
    std::size_t at = 0;
    for (; first < next; ++first) {
      const std::size_t values = texts[first].tokens.size() * width();
      on_states(first, states.subspan(at, values));
      at += values;
    }
  }
}

std::vector<float> TextEncoder::embed(std::span<const EncodedText> texts) {
  return embed(model::ModelView(*loaded_.model), texts);
}

std::vector<float> TextEncoder::embed(const model::ModelView& view,
                                      std::span<const EncodedText> texts) {
  std::vector<float> vectors(texts.size() * width());
  const auto take = [&](std::size_t text, std::span<const float> states) {
    float* out = vectors.data() + text * width();
    model::pool(pooling_, states.data(), states.size() / width(), width(), out);
    if (is_normalized_) model::normalize(out, width());
  };
  run(view, texts, take, nullptr);
  return vectors;
}

std::vector<api::Work> TextEncoder::work_of(std::span<const EncodedText> texts) const {
  const model::BlockSpec& spec = loaded_.model->spec();
  std::vector<api::Work> works;
  double tokens = 0;
  double operations = 0;
  for (const EncodedText& text : texts) {
    const auto length = static_cast<double>(text.tokens.size());
    const TokenOperations each = token_operations(spec, {1, length});
    works.push_back({.operations = length * (each.matrices + each.attention)});
    tokens += length;
    operations += works.back().operations;
  }
  const double steps =
      std::max(1.0, std::ceil(tokens / static_cast<double>(encoder_->tokens_max())));
  for (api::Work& work : works) {
    if (operations > 0) work.bytes = steps * weight_bytes_ * work.operations / operations;
  }
  return works;
}

std::vector<float> TextEncoder::classify(std::span<const EncodedText> texts) {
  std::vector<float> firsts(texts.size() * width());
  const auto take = [&](std::size_t text, std::span<const float> states) {
    std::copy_n(states.begin(), width(), firsts.data() + text * width());
  };
  run(texts, take);
  std::vector<float> outputs(texts.size() * spec().labels);
  model::classify(*loaded_.model, firsts.data(), texts.size(), outputs.data());
  return outputs;
}

float sigmoid(float value) noexcept {
  return static_cast<float>(1 / (1 + std::exp(-static_cast<double>(value))));
}

void to_probabilities(model::LabelKind kind, std::span<float> outputs) {
  if (kind == model::LabelKind::kValue) return;
  if (kind == model::LabelKind::kAnyOf) {
    for (float& value : outputs) value = sigmoid(value);
    return;
  }
  const double largest = static_cast<double>(*std::max_element(outputs.begin(), outputs.end()));
  double total = 0;
  for (const float value : outputs) total += std::exp(static_cast<double>(value) - largest);
  for (float& value : outputs) {
    value = static_cast<float>(std::exp(static_cast<double>(value) - largest) / total);
  }
}

}  // namespace paring::engine
