// SPDX-License-Identifier: Apache-2.0
// What comes back for a GenerateRequest, piece by piece, and AnswerWriter, which turns it into one
// protocol's bytes. A choice is one answer; prompts times samples of them, numbered prompt by
// prompt.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "api/request.h"
#include "serve/api_error.h"

namespace paring::serve {

// A token as clients see it.
struct TokenText {
  std::int32_t id = 0;
  std::string bytes = {};  // may be part of a character
  float logprob = 0;       // NaN: it has none (the first token of an echoed prompt)
};

struct TokenDetail {
  TokenText token;
  std::vector<TokenText> top = {};
};

// One piece of a call of a tool. The first of a call has id and name, later ones arguments only.
struct ToolCallDelta {
  std::size_t index = 0;  // of the call within its answer
  std::string id = {};
  std::string name = {};
  std::string arguments = {};
};

// What is new in a choice. Whole characters only.
struct AnswerDelta {
  std::string content = {};
  std::string reasoning = {};
  std::vector<ToolCallDelta> tool_calls = {};
  std::vector<TokenDetail> tokens = {};  // when log-probabilities were asked for
};

enum class AnswerEnd : std::uint8_t {
  kStop,        // the model's end of text
  kStopString,  // see AnswerEnding::stop_string
  kLength,      // max_tokens or the context
  kToolCalls,
  kCancelled,
};

struct AnswerEnding {
  AnswerEnd end = AnswerEnd::kStop;
  std::string stop_string = {};
  std::optional<ApiError> error = {};  // set: the choice failed, the rest does not hold
};

// Of one request, all choices together; prompts count once.
struct AnswerUsage {
  std::size_t prompt_tokens = 0;
  std::size_t cached_tokens = 0;  // of the prompt, not computed again
  std::size_t completion_tokens = 0;
  std::size_t reasoning_tokens = 0;  // of those, in reasoning sections
  std::size_t drafted_tokens = 0;
  std::size_t accepted_tokens = 0;
  std::size_t truncated_tokens = 0;  // of the prompt, dropped because the request allowed it
  double queue_seconds = 0;
  double prefill_seconds = 0;
  double decode_seconds = 0;
  std::size_t preemptions = 0;
  std::size_t peak_pages = 0;   // of the cache, all samples together
  api::Work prefill_work = {};  // of the steps up to the first token; all of an encoder
  api::Work decode_work = {};
  // Between the tokens of each choice, choices after each other as they end; the first kGapsMax.
  std::vector<std::int64_t> gap_microseconds = {};

  static constexpr std::size_t kGapsMax = 1 << 16;
};

// What every answer is labelled with.
struct AnswerLabel {
  std::string id = {};       // unique, without the wire's prefix
  std::string model;         // as the client named it, or the server's name of it
  std::string variant;       // what computed it (api/variant.h)
  std::int64_t created = 0;  // seconds since 1970
};

// A whole choice, for answers that are not streamed.
struct AnswerChoice {
  std::string content = {};
  std::string reasoning = {};
  std::vector<ToolCallDelta> tool_calls = {};  // one a call, complete
  std::vector<TokenDetail> tokens = {};
  AnswerEnding ending;
};

// Bytes of one answer in one protocol. Made for one request, told of everything in order, from one
// thread at a time. What each call returns is sent as it is; it may be empty.
class AnswerWriter {
 public:
  virtual ~AnswerWriter() = default;
  // "application/json", "text/event-stream", ...
  virtual const char* content_type(bool streams) const = 0;

  // A stream: begin, then deltas and an end for each choice, then finish; or fail at any time,
  // after which nothing comes.
  virtual std::string begin(std::size_t choices) = 0;
  virtual std::string delta(std::size_t choice, const AnswerDelta& delta) = 0;
  virtual std::string end(std::size_t choice, const AnswerEnding& ending) = 0;
  virtual std::string finish(const AnswerUsage& usage) = 0;
  virtual std::string fail(const ApiError& error) = 0;

  // Or everything at once; the body of the first choice's error when one failed.
  virtual std::string whole(const std::vector<AnswerChoice>& choices, const AnswerUsage& usage) = 0;
};

}  // namespace paring::serve
