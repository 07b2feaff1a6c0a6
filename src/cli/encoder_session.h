// SPDX-License-Identifier: Apache-2.0
// What the commands on encoders share: flags, the loaded model with its encoder, and texts as
// tokens. Confined to one thread.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/context.h"
#include "cli/output.h"
#include "engine/loaded_model.h"
#include "engine/text_encoder.h"

namespace paring::cli {

struct EncoderFlags {
  std::string model;
  std::size_t max_tokens = 0;
  bool truncates = false;
  bool is_json = false;
};

// MODEL, --max-tokens, --truncate and --json.
void define_encoder(CLI::App& app, EncoderFlags& flags);

struct EncoderSession {
  std::unique_ptr<engine::LoadedModel> model;  // the encoder refers to it
  std::unique_ptr<engine::TextEncoder> encoder;
};
// `options`: what the flags do not set.
Result<EncoderSession> open_encoder(Context& context, const EncoderFlags& flags,
                                    engine::TextEncoderOptions options = {});

// Each text as tokens; errors name its number, from 1.
Result<std::vector<engine::EncodedText>> encode_texts(const engine::TextEncoder& encoder,
                                                      const std::vector<std::string>& texts);

// What a run took, for the JSON objects and for standard error.
struct EncoderWork {
  std::size_t texts = 0;
  std::size_t cut_texts = 0;
  std::size_t tokens = 0;
  double tokenize_seconds = 0;
  double compute_seconds = 0;
  double texts_per_second() const;  // both together
};
EncoderWork count_work(const std::vector<engine::EncodedText>& texts);
Json work_json(const EncoderWork& work);
// One line on standard error; and how many texts were cut, if any.
void print_work(const EncoderWork& work);

// Corrupt when one of the values is not a finite number: damaged weights.
Result<void> check_finite(const std::vector<float>& values, const std::string& path);

}  // namespace paring::cli
