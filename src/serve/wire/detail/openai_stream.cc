// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/detail/openai_stream.h"

#include <utility>

#include "serve/wire/detail/json_text.h"
#include "serve/wire/detail/openai_answer.h"

namespace paring::serve::wire {

OpenAiStreamWriter::OpenAiStreamWriter(const AnswerLabel& label, const OpenAiObjects& objects,
                                       bool includes_usage)
    : whole_head_(openai_head(label, objects.id_prefix, objects.whole)),
      head_("data: " + openai_head(label, objects.id_prefix, objects.chunk) + ",\"choices\":["),
      tail_(includes_usage ? "],\"usage\":null}\n\n" : "]}\n\n"),
      includes_usage_(includes_usage) {}

const char* OpenAiStreamWriter::content_type(bool streams) const {
  return streams ? "text/event-stream" : "application/json";
}

std::string OpenAiStreamWriter::begin(std::size_t choices) {
  choices_left_ = choices;
  std::string out;
  for (std::size_t i = 0; i < choices; ++i) append_first(out, i);
  return out;
}

std::string OpenAiStreamWriter::end(std::size_t choice, const AnswerEnding& ending) {
  if (is_over_) return {};
  if (ending.error) return fail(*ending.error);
  std::string out = head_;
  append_last(out, choice, ending);
  if (choices_left_ > 0) --choices_left_;
  if (choices_left_ == 0 && !includes_usage_) {
    // The last chunk tells the timings, which finish() knows. A chunk of its own for them would
    // have no choices, which clients expect only when they asked for usage.
    last_chunk_ = std::move(out);
    return {};
  }
  return out + tail_;
}

std::string OpenAiStreamWriter::finish(const AnswerUsage& usage) {
  if (is_over_) return {};
  is_over_ = true;
  std::string out = std::move(last_chunk_);
  if (includes_usage_) {
    append(out, head_, "],\"usage\":");
    append_openai_usage(out, usage);
  } else if (!out.empty()) {
    out += ']';
  }
  if (!out.empty()) {
    out += ",\"timings\":";
    append_timings(out, usage);
    out += "}\n\n";
  }
  return out + "data: [DONE]\n\n";
}

std::string OpenAiStreamWriter::fail(const ApiError& error) {
  if (is_over_) return {};
  is_over_ = true;
  std::string out = "data: ";
  append_openai_error(out, error);
  return out + "\n\n";
}

std::string OpenAiStreamWriter::whole(const std::vector<AnswerChoice>& choices,
                                      const AnswerUsage& usage) {
  std::string out;
  if (const ApiError* error = first_error(choices)) {
    append_openai_error(out, *error);
    return out;
  }
  append(out, whole_head_, ",\"choices\":[");
  for (std::size_t i = 0; i < choices.size(); ++i) {
    if (i > 0) out += ',';
    append_whole(out, i, choices[i]);
  }
  out += "],\"usage\":";
  append_openai_usage(out, usage);
  out += ",\"timings\":";
  append_timings(out, usage);
  return out + '}';
}

}  // namespace paring::serve::wire
