// SPDX-License-Identifier: Apache-2.0
// Texts through an encoder: embeddings, classes, scores of pairs. Texts are packed behind each
// other into steps, without padding; what comes out for a text does not depend on the others (see
// model/encoder.h). Confined to one thread; the executor's workers compute each step.
//
//   PARING_TRY(auto encoder, engine::TextEncoder::create(loaded, executor, {}));
//   PARING_TRY(engine::EncodedText text, encoder->encode("hello"));
//   const std::vector<float> vectors = encoder->embed({&text, 1});
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "api/request.h"
#include "base/executor.h"
#include "base/result.h"
#include "engine/loaded_model.h"
#include "model/encoder.h"
#include "text/text_template.h"

namespace paring::engine {

// Tokens of one step: enough for the matrices to be read once for many, few enough for the cache.
inline constexpr std::size_t kEncoderStepTokens = 1024;

struct TextEncoderOptions {
  model::Numerics numerics = model::Numerics::kServed;
  std::optional<model::Pooling> pooling;  // instead of the model's
  std::optional<bool> is_normalized;      // instead of the model's
  // Most tokens of a text, special ones included; 0: as many as the model has positions.
  std::size_t tokens_max = 0;
  bool truncates = false;  // longer texts are cut behind tokens_max; otherwise they are errors
};

struct EncodedText {
  std::vector<std::int32_t> tokens;
  std::vector<std::uint8_t> types;
  bool is_cut = false;
};

class TextEncoder {
 public:
  // `loaded` and `executor` must outlive the result. InvalidArgument for a decoder, and for
  // tokens_max beyond the model's positions; errors of text::templates_of_json().
  static Result<std::unique_ptr<TextEncoder>> create(const LoadedModel& loaded, Executor& executor,
                                                     const TextEncoderOptions& options);

  // With the model's special tokens; ones that the text spells out stay text. InvalidArgument for a
  // text of more than tokens_max tokens, unless it is to be cut, and for one without any.
  // `cuts`: instead of TextEncoderOptions::truncates.
  Result<EncodedText> encode(std::string_view text, std::optional<bool> cuts = std::nullopt) const;
  // Both texts as one; to fit, the second is cut. InvalidArgument when the first leaves no room.
  Result<EncodedText> encode_pair(std::string_view first, std::string_view second) const;

  // The last layer's states of each text, [tokens, D], in order; valid during the call.
  using OnStates = std::function<void(std::size_t text, std::span<const float> states)>;
  void run(std::span<const EncodedText> texts, const OnStates& on_states);
  // The same with single matrices replaced.
  void run(const model::ModelView& view, std::span<const EncodedText> texts,
           const OnStates& on_states, model::Taps* taps);

  // [texts, D]. REQUIRES: pooling() is not kNone.
  std::vector<float> embed(std::span<const EncodedText> texts);
  std::vector<float> embed(const model::ModelView& view, std::span<const EncodedText> texts);
  // Outputs of the classification head [texts, labels]. REQUIRES: the model has one.
  std::vector<float> classify(std::span<const EncodedText> texts);

  // What each text takes of one call for all of them, without seconds: operations by its length,
  // bytes of the weights (read once a step) by its part of the operations.
  std::vector<api::Work> work_of(std::span<const EncodedText> texts) const;

  model::Pooling pooling() const noexcept { return pooling_; }
  bool is_normalized() const noexcept { return is_normalized_; }
  std::size_t tokens_max() const noexcept { return tokens_max_; }
  // Most tokens that one step computes.
  std::size_t step_tokens_max() const noexcept { return encoder_->tokens_max(); }
  Executor& executor() noexcept { return encoder_->executor(); }
  std::size_t width() const noexcept { return loaded_.model->spec().width; }
  const model::EncoderSpec& spec() const noexcept { return *loaded_.model->spec().encoder; }

  // Bytes of buffers that create() will take for texts of up to `tokens_max` tokens.
  static std::size_t bytes_for(const model::BlockSpec& spec, std::size_t tokens_max,
                               std::size_t threads);

 private:
  TextEncoder(const LoadedModel& loaded, const TextEncoderOptions& options);
  Result<EncodedText> fill(const std::vector<text::TemplatePiece>& pieces,
                           std::vector<std::int32_t> first, std::vector<std::int32_t> second,
                           bool cuts) const;

  const LoadedModel& loaded_;
  model::Numerics numerics_;
  model::Pooling pooling_;
  bool is_normalized_;
  std::size_t tokens_max_;
  double weight_bytes_;  // that a step reads
  bool truncates_;
  text::TextTemplates templates_;
  std::unique_ptr<model::Encoder> encoder_;
};

// The outputs of a classification head as what they mean, in place: softmax for one label of many,
// sigmoid for each label, values as they are.
void to_probabilities(model::LabelKind kind, std::span<float> outputs);
float sigmoid(float value) noexcept;

}  // namespace paring::engine
