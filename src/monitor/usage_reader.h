// SPDX-License-Identifier: Apache-2.0
// What answers of other engines and providers say of themselves, read as they pass: tokens, the
// model, how they ended, an error's code, and when there was text. OpenAI's chat, completions,
// embeddings and responses, Anthropic's messages, Ollama; whole or streamed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "monitor/json_scan.h"
#include "store/traffic_rows.h"

namespace paring::monitor {

// What a request asks for.
struct AskedFor {
  std::string model;
  std::string user;
};
// `body` may be anything.
AskedFor read_asked_for(std::string_view body);

// Confined to one thread.
class UsageReader : private JsonScan::Listener {
 public:
  enum class Form : std::uint8_t {
    kJson,
    kEvents,  // server-sent events
    kLines,   // a JSON value a line
  };
  // By the answer's Content-Type; nullopt: nothing is to be read in it.
  static std::optional<Form> form_of(std::string_view content_type) noexcept;

  explicit UsageReader(Form form) : form_(form) {}
  UsageReader(const UsageReader&) = delete;
  UsageReader& operator=(const UsageReader&) = delete;

  // Pieces in their order, cut anywhere. How many chunks with text, or a piece of a call, ended in
  // this one; those of a whole answer do not count.
  std::size_t read(std::string_view bytes);
  // The answer has ended.
  void finish();

  // As it said; where a stream said nothing, a token for each chunk with text.
  store::TrafficTokens tokens() const;
  // Tokens were counted by chunks.
  bool is_counted() const noexcept { return !completion_ && chunks_ > 0; }
  // The stream said that it is at its end.
  bool has_ended() const noexcept { return has_ended_; }
  const std::string& model() const noexcept { return model_; }
  const std::string& end() const noexcept { return end_; }  // as TrafficRequest::end
  const std::string& error_code() const noexcept { return error_code_; }

 private:
  void on_value(std::string_view path, JsonScan::Kind kind, std::string_view text) override;
  void read_events(std::string_view bytes);
  void read_lines(std::string_view bytes);
  void end_event();
  void set_end(std::string_view reason);
  void set_error(std::string_view code, bool is_type);

  const Form form_;
  JsonScan scan_{*this};
  // Of events: how much of "data:" the line began with, then whether it is such a line.
  enum class Line : std::uint8_t { kBegin, kData, kSkip };
  Line line_ = Line::kBegin;
  std::size_t line_bytes_ = 0;
  bool was_return_ = false;  // the last byte; a line feed behind it ends no line of its own
  bool has_data_ = false;    // of the event
  std::string word_;         // its data as far as it may be "[DONE]"

  bool has_text_ = false;  // the chunk
  std::size_t new_chunks_ = 0;
  std::int64_t chunks_ = 0;
  bool has_ended_ = false;

  std::optional<std::int64_t> prompt_;
  std::optional<std::int64_t> completion_;
  std::int64_t cached_ = 0;       // part of prompt_
  std::int64_t read_beside_ = 0;  // from a cache, beside prompt_, as Anthropic has it
  std::int64_t made_beside_ = 0;  // put into it
  bool is_prompt_whole_ = false;  // prompt_ is said to be all of it
  std::int64_t reasoning_ = 0;
  std::int64_t accepted_ = 0;
  std::int64_t rejected_ = 0;
  std::string model_;
  std::string end_;
  std::string error_code_;
  bool is_error_type_ = false;
};

}  // namespace paring::monitor
