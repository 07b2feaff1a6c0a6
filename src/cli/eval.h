// SPDX-License-Identifier: Apache-2.0
// What the two parts of paring eval share: the flags, the journal, the identity of a model.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/context.h"
#include "measure/journal.h"
#include "measure/windows.h"

namespace paring::cli {

struct EvalFlags {
  std::string model;
  std::string against;
  std::string text_path;
  measure::Protocol protocol = measure::Protocol::kLlamaCpp;
  std::size_t context = 0;  // 0: the protocol's
  std::size_t windows = 0;
  std::vector<std::string> tasks;  // empty: a text is read
  std::string data_path;
  std::size_t limit = 0;
  std::optional<std::size_t> shots;
  std::string samples_path;
  std::string journal_path;
  bool is_json = false;

  std::size_t context_tokens() const {
    return context != 0 ? context : measure::default_context(protocol);
  }
};

// Perplexity and divergence over a text.
Result<void> eval_text(Context& context, const EvalFlags& flags);
// Whether a MODEL is an encoder, by its header.
Result<bool> is_encoder(Context& context, const std::string& name);
// Agreement of an encoder's vectors with those of a base.
Result<void> eval_encoder(Context& context, const EvalFlags& flags);
// Scores of tasks.
Result<void> eval_tasks(Context& context, const EvalFlags& flags);

// One that keeps nothing when no --journal was given.
Result<measure::Journal> open_journal(const EvalFlags& flags);
// Of a model as the settings have it computed.
std::string variant_id(const Context& context, const engine::LoadedModel& loaded);

}  // namespace paring::cli
