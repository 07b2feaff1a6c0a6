// SPDX-License-Identifier: Apache-2.0
// Who answers a judge's questions: a server with OpenAI's chat completions, or a model in this
// process. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/result.h"
#include "engine/generator.h"
#include "engine/loaded_model.h"

namespace paring::improve {

struct JudgeQuestion {
  std::string system;
  std::string user;
  std::string schema;  // JSON Schema of the answer
};

class JudgeModel {
 public:
  virtual ~JudgeModel() = default;
  // The text of each answer, in their order. Unavailable: nobody answered, or not in time.
  virtual std::vector<Result<std::string>> ask(std::span<const JudgeQuestion> questions) = 0;
};

// How an answer is asked for that is JSON of the schema.
enum class JudgeFormat : std::uint8_t { kSchema, kObject, kNone };

struct HttpJudgeOptions {
  std::string url;  // "https://host/v1"
  std::string model;
  std::string key;  // sent as a bearer token; empty: none
  JudgeFormat format = JudgeFormat::kSchema;
  std::size_t answer_tokens = 512;
  std::size_t parallel = 4;  // questions at a time
  std::size_t tries = 3;
  double seconds = 60;  // of one try
};
// A body of an answer that is longer is a failure.
inline constexpr std::size_t kJudgeAnswerBytesMax = std::size_t{1} << 20;
// Waits between tries, unless the server asks for longer, up to kJudgeWaitMax.
inline constexpr double kJudgeWaitSeconds = 0.5;  // then twice, four times as long
inline constexpr double kJudgeWaitMax = 30;

// InvalidArgument: no such URL, or a key that cannot be sent. Errors of net::UpstreamClient.
Result<std::unique_ptr<JudgeModel>> make_http_judge(const HttpJudgeOptions& options);

// The model's answers follow the schema: its tokens are limited to it. `loaded` and `executor` must
// outlive the result. Unsupported: a model without a chat template.
Result<std::unique_ptr<JudgeModel>> make_local_judge(const engine::LoadedModel& loaded,
                                                     Executor& executor,
                                                     const engine::GeneratorOptions& options,
                                                     std::size_t answer_tokens);

}  // namespace paring::improve
