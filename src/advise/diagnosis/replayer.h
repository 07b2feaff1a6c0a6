// SPDX-License-Identifier: Apache-2.0
// Prompts answered again by one model, greedily, with what it thinks of a given answer. The prompts
// of a case share the steps that decode. Not thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/result.h"
#include "engine/chat_prompt.h"
#include "engine/loaded_model.h"
#include "measure/compare.h"

namespace paring::advise {

struct Replay {
  std::string answer;
  double reference_log_probability = 0;  // nats a token
  std::size_t reference_tokens = 0;      // 0: no reference was given
  std::size_t prompt_tokens = 0;
};

// What a model expected at each token of an answer: its likeliest tokens, and the log-probability
// of the token that stands there.
struct AnswerTrace {
  struct Position {
    std::int32_t token = 0;
    double log_probability = 0;
    std::vector<std::int32_t> top;  // at most kTraceTop
    std::vector<float> top_log_probabilities;
  };
  std::vector<Position> positions;
  double mean_log_probability() const;
};
inline constexpr std::size_t kTraceTop = 64;
inline constexpr std::size_t kTraceTokensMax = 256;  // of an answer; the rest is not looked at

// KL(base || model) a token over the base's likeliest tokens and the rest as one: a lower bound of
// the divergence. `model_at_top`: the model's log-probabilities of base's top tokens. REQUIRES: one
// list a position.
double traced_divergence(const AnswerTrace& base,
                         std::span<const std::vector<double>> model_at_top);

class Replayer {
 public:
  struct Options {
    measure::EvalOptions eval;
    std::size_t context_tokens = 2048;  // of a prompt with its answer
    std::size_t answer_tokens_max = 48;
  };
  // `loaded` and `executor` must outlive the result.
  static Result<std::unique_ptr<Replayer>> create(const engine::LoadedModel& loaded,
                                                  Executor& executor, const Options& options);
  static std::size_t bytes_for(const model::BlockSpec& spec, const Options& options,
                               std::size_t threads);

  // Token ids of a prompt as a Case has it. Through the model's chat template, or as plain text
  // where it has none.
  Result<std::vector<std::int32_t>> encode(const std::string& prompt) const;
  // One replay a prompt, in order. InvalidArgument: a prompt does not fit. Corrupt: the model's
  // output is not finite.
  Result<std::vector<Replay>> run(std::span<const std::string> prompts,
                                  const std::string& reference);

  // What this model expected along `answer` after `prompt`.
  Result<AnswerTrace> trace(const std::string& prompt, const std::string& answer);
  // The divergence of this model from the one that `base` is of. nullopt when it reads the answer
  // as other tokens.
  Result<std::optional<double>> divergence(const std::string& prompt, const std::string& answer,
                                           const AnswerTrace& base);

 private:
  struct Part;
  Replayer(const engine::LoadedModel& loaded, const Options& options);
  Result<void> step(std::span<Part> parts, model::LogitsSink& sink);
  Result<void> prefill(model::KvSequence& sequence, std::span<const std::int32_t> tokens);
  Result<void> run_group(std::span<const std::vector<std::int32_t>> prompts,
                         std::span<const std::int32_t> reference, std::span<Replay> replays);
  Result<void> follow(const std::string& prompt, std::span<const std::int32_t> answer,
                      model::LogitsSink& sink);
  std::size_t pool_tokens() const;

  const engine::LoadedModel& loaded_;
  model::ModelView view_;
  Options options_;
  std::optional<engine::ChatPrompt> chat_prompt_;
  std::unique_ptr<model::Forward> forward_;
  std::unique_ptr<model::KvPool> pool_;
};

}  // namespace paring::advise
