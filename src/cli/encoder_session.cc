// SPDX-License-Identifier: Apache-2.0
#include "cli/encoder_session.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/commands.h"
#include "engine/open_model.h"
#include "model/architecture.h"

namespace paring::cli {

void define_encoder(CLI::App& app, EncoderFlags& flags) {
  app.add_option("MODEL", flags.model, "GGUF file or Hugging Face folder of an encoder")
      ->required()
      ->type_name("");
  app.add_option("--max-tokens", flags.max_tokens,
                 "Most tokens of a text, special ones included; 0: as many as the model has "
                 "positions")
      ->capture_default_str()
      ->check(CLI::Range(0, 1 << 27))
      ->type_name("N");
  app.add_flag("--truncate", flags.truncates,
               "Cut longer texts at the end; without it they are errors");
  add_json_flag(app, flags.is_json);
}

Result<EncoderSession> open_encoder(Context& context, const EncoderFlags& flags,
                                    engine::TextEncoderOptions options) {
  options.numerics = context.numerics();
  options.tokens_max = flags.max_tokens;
  options.truncates = flags.truncates;
  PARING_TRY(const std::string path, context.resolve(flags.model));
  PARING_TRY(Executor * executor, context.executor());
  PARING_TRY(engine::LoadedModel loaded,
             engine::LoadedModel::load(
                 path, *executor,
                 {.kind = engine::ModelKind::kEncoder, .locks_memory = context.settings().mlock}));
  EncoderSession session;
  session.model = std::make_unique<engine::LoadedModel>(std::move(loaded));
  PARING_TRY(session.encoder, engine::TextEncoder::create(*session.model, *executor, options));
  return session;
}

Result<std::vector<engine::EncodedText>> encode_texts(const engine::TextEncoder& encoder,
                                                      const std::vector<std::string>& texts) {
  std::vector<engine::EncodedText> encoded;
  encoded.reserve(texts.size());
  for (const std::string& text : texts) {
    auto one = encoder.encode(text);
    if (!one) {
      return std::move(one.error()).with_context(fmt::format("text {}", encoded.size() + 1));
    }
    encoded.push_back(std::move(one).value());
  }
  return encoded;
}

double EncoderWork::texts_per_second() const {
  const double seconds = tokenize_seconds + compute_seconds;
  return seconds > 0 ? static_cast<double>(texts) / seconds : 0;
}

EncoderWork count_work(const std::vector<engine::EncodedText>& texts) {
  EncoderWork work;
  work.texts = texts.size();
  for (const engine::EncodedText& text : texts) {
    work.tokens += text.tokens.size();
    work.cut_texts += text.is_cut ? 1U : 0U;
  }
  return work;
}

Json work_json(const EncoderWork& work) {
  return {{"texts", work.texts},
          {"cut_texts", work.cut_texts},
          {"tokens", work.tokens},
          {"tokenize_seconds", work.tokenize_seconds},
          {"compute_seconds", work.compute_seconds},
          {"texts_per_second", work.texts_per_second()}};
}

void print_work(const EncoderWork& work) {
  print_note(fmt::format("{} texts, {} tokens, {:.1f} texts/s", work.texts, work.tokens,
                         work.texts_per_second()));
  if (work.cut_texts != 0) print_note(fmt::format("{} texts were cut", work.cut_texts));
}

Result<void> check_finite(const std::vector<float>& values, const std::string& path) {
  const bool is_finite =
      std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
  if (is_finite) return {};
  return corrupt(fmt::format("{} computes values that are not finite numbers", path),
                 "its weights are damaged or out of range; get the file again");
}

}  // namespace paring::cli
