// SPDX-License-Identifier: Apache-2.0
#include "text/answer_parser.h"

#include <algorithm>
#include <utility>

#include "text/tool_call_reader.h"

namespace paring::text {
namespace {

// Bytes at the end of `text` that could be the beginning of `tag`.
std::size_t held_for(std::string_view text, std::string_view tag) {
  for (std::size_t size = std::min(text.size(), tag.size() - 1); size > 0; --size) {
    if (tag.starts_with(text.substr(text.size() - size))) return size;
  }
  return 0;
}

std::size_t without_space(std::string_view text, std::size_t end) {
  while (end > 0 && is_json_space(text[end - 1])) --end;
  return end;
}

}  // namespace

struct AnswerParser::State {
  enum class Place : std::uint8_t { kStart, kReasoning, kSeam, kContent, kCall };

  explicit State(AnswerParserOptions given)
      : options(std::move(given)), reader(options.format, options.tool_names, options.id_prefix) {
    const ToolSyntax syntax = options.format.syntax;
    finds_calls = options.finds_calls && syntax != ToolSyntax::kNone;
    finds_bare = finds_calls && options.format.form.trigger.empty();
  }

  AnswerParserOptions options;
  ToolCallReader reader;
  bool finds_calls = false;
  bool finds_bare = false;  // a call may begin the answer without a trigger
  bool is_at_start = true;  // no content yet
  bool has_reasoning = false;
  Place place = Place::kStart;
  std::string pending;

  void put(AnswerEventKind kind, std::size_t bytes, std::vector<AnswerEvent>& out) {
    if (bytes == 0) return;
    if (!out.empty() && out.back().kind == kind) {
      out.back().text.append(pending, 0, bytes);
    } else {
      out.push_back({.kind = kind, .text = pending.substr(0, bytes)});
    }
    pending.erase(0, bytes);
  }

  // Each step takes something from the front of `pending`; false when it needs more text.
  bool step(std::vector<AnswerEvent>& out) {
    switch (place) {
      case Place::kStart:
        return start();
      case Place::kReasoning:
        return reasoning(out);
      case Place::kSeam:
        pending.erase(0, spaces());
        if (pending.empty()) return false;
        place = Place::kContent;
        return true;
      case Place::kContent:
        return content(out);
      case Place::kCall:
        return call(out);
    }
    return false;
  }

  std::size_t spaces() const {
    const auto dark = std::find_if_not(pending.begin(), pending.end(), is_json_space);
    return static_cast<std::size_t>(dark - pending.begin());
  }

  // Reasoning begins here or nowhere. A model may close at once what was never opened.
  bool start() {
    if (!options.reasoning) {
      place = Place::kContent;
      return true;
    }
    const std::size_t dark = spaces();
    const std::string_view rest = std::string_view(pending).substr(dark);
    const ReasoningForm& form = *options.reasoning;
    if (rest.empty()) return false;
    if (!form.begin.empty() && rest.starts_with(form.begin)) {
      pending.erase(0, dark + form.begin.size());
      place = Place::kReasoning;
      return true;
    }
    if (rest.starts_with(form.end)) {
      pending.erase(0, dark + form.end.size());
      place = Place::kSeam;
      return true;
    }
    if (form.begin.starts_with(rest) || form.end.starts_with(rest)) return false;
    place = form.is_open ? Place::kReasoning : Place::kContent;
    return true;
  }

  bool reasoning(std::vector<AnswerEvent>& out) {
    const std::string& tag = options.reasoning->end;
    if (!has_reasoning) {
      pending.erase(0, spaces());
      has_reasoning = !pending.empty();
    }
    if (pending.empty()) return false;
    const std::size_t at = pending.find(tag);
    if (at != std::string::npos) {
      const std::size_t end = without_space(pending, at);
      put(AnswerEventKind::kReasoning, end, out);
      pending.erase(0, at - end + tag.size());
      place = Place::kSeam;
      return true;
    }
    const std::size_t held = held_for(pending, tag);
    put(AnswerEventKind::kReasoning, without_space(pending, pending.size() - held), out);
    return false;
  }

  bool content(std::vector<AnswerEvent>& out) {
    if (!finds_calls) {
      put(AnswerEventKind::kContent, pending.size(), out);
      return false;
    }
    if (is_at_start && finds_bare) {
      const std::size_t dark = spaces();
      if (dark == pending.size()) return false;
      if (pending[dark] == '{' || pending[dark] == '[') {
        begin_call(dark, /*is_bare=*/true);
        return true;
      }
    }
    std::size_t first = std::string::npos;
    std::string_view trigger;
    std::size_t held = 0;
    for (const std::string& wanted : options.format.triggers) {
      const std::size_t at = pending.find(wanted);
      if (at < first) {
        first = at;
        trigger = wanted;
      }
      held = std::max(held, held_for(pending, wanted));
    }
    if (first != std::string::npos) {
      put_content(without_space(pending, first), out);
      begin_call(pending.find(trigger) + trigger.size(), /*is_bare=*/false);
      return true;
    }
    const std::size_t keep = options.format.triggers.empty() ? 0 : held;
    const std::size_t end = pending.size() - keep;
    put_content(options.format.triggers.empty() ? end : without_space(pending, end), out);
    return false;
  }

  void put_content(std::size_t bytes, std::vector<AnswerEvent>& out) {
    if (bytes > 0) is_at_start = false;
    put(AnswerEventKind::kContent, bytes, out);
  }

  void begin_call(std::size_t bytes, bool is_bare) {
    reader.start(pending.substr(0, bytes), is_bare);
    pending.erase(0, bytes);
    place = Place::kCall;
  }

  bool call(std::vector<AnswerEvent>& out) {
    std::size_t used = 0;
    const auto outcome = reader.read(pending, used, out);
    pending.erase(0, used);
    if (outcome == ToolCallReader::Outcome::kNeedsText) return false;
    const bool is_done = outcome == ToolCallReader::Outcome::kDone;
    is_at_start = false;
    place = is_done ? Place::kSeam : Place::kContent;
    return true;
  }

  void run(std::vector<AnswerEvent>& out) {
    while (!pending.empty() && step(out)) {
    }
  }
};

AnswerParser::AnswerParser(AnswerParserOptions options)
    : state_(std::make_unique<State>(std::move(options))) {}
AnswerParser::~AnswerParser() = default;
AnswerParser::AnswerParser(AnswerParser&&) noexcept = default;
AnswerParser& AnswerParser::operator=(AnswerParser&&) noexcept = default;

std::vector<AnswerEvent> AnswerParser::feed(std::string_view piece) {
  std::vector<AnswerEvent> out;
  state_->pending += piece;
  state_->run(out);
  return out;
}

bool AnswerParser::is_in_reasoning() const noexcept {
  return state_->place == State::Place::kReasoning;
}

std::vector<AnswerEvent> AnswerParser::finish() {
  std::vector<AnswerEvent> out;
  State& state = *state_;
  const std::size_t left = state.pending.size();
  switch (state.place) {
    case State::Place::kStart:
      state.put(state.options.reasoning && state.options.reasoning->is_open
                    ? AnswerEventKind::kReasoning
                    : AnswerEventKind::kContent,
                left, out);
      break;
    case State::Place::kReasoning:
      state.put(AnswerEventKind::kReasoning, left, out);
      break;
    case State::Place::kContent:
      state.put(AnswerEventKind::kContent, left, out);
      break;
    case State::Place::kCall:
      state.reader.finish(state.pending, out);
      break;
    case State::Place::kSeam:
      break;
  }
  return out;
}

}  // namespace paring::text
