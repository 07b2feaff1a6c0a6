// SPDX-License-Identifier: Apache-2.0
// What answers of /v1/chat/completions and /v1/completions have in common: chunks of one head, a
// chunk that ends each choice, usage, timings and [DONE] behind the last.
#pragma once

#include <string>
#include <vector>

#include "serve/answer.h"

namespace paring::serve::wire {

struct OpenAiObjects {
  const char* id_prefix;  // "chatcmpl-"
  const char* whole;      // "chat.completion"
  const char* chunk;      // "chat.completion.chunk"
};

class OpenAiStreamWriter : public AnswerWriter {
 public:
  const char* content_type(bool streams) const override;
  std::string begin(std::size_t choices) override;
  std::string end(std::size_t choice, const AnswerEnding& ending) override;
  std::string finish(const AnswerUsage& usage) override;
  std::string fail(const ApiError& error) override;
  std::string whole(const std::vector<AnswerChoice>& choices, const AnswerUsage& usage) override;

 protected:
  OpenAiStreamWriter(const AnswerLabel& label, const OpenAiObjects& objects, bool includes_usage);

  // A chunk with what a choice holds before anything was made; none: "".
  virtual void append_first(std::string& out, std::size_t choice) = 0;
  // A choice as its last chunk holds it, and as a whole: {"index": ..., ...}.
  virtual void append_last(std::string& out, std::size_t choice, const AnswerEnding& ending) = 0;
  virtual void append_whole(std::string& out, std::size_t index, const AnswerChoice& choice) = 0;

  bool is_over() const { return is_over_; }
  // A chunk up to the bracket of its choices, and from behind the last choice on.
  const std::string& head() const { return head_; }
  const std::string& tail() const { return tail_; }

 private:
  std::string whole_head_;
  std::string head_;
  std::string tail_;
  std::string last_chunk_;
  std::size_t choices_left_ = 0;
  bool includes_usage_ = false;
  bool is_over_ = false;
};

}  // namespace paring::serve::wire
