// SPDX-License-Identifier: Apache-2.0
#include "text/tool_call_reader.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

namespace paring::text {
namespace {

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_json_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_json_space(text.back())) text.remove_suffix(1);
  return text;
}

std::size_t spaces_in_front(std::string_view text) {
  const auto dark = std::find_if_not(text.begin(), text.end(), is_json_space);
  return static_cast<std::size_t>(dark - text.begin());
}

void put(AnswerEventKind kind, std::size_t call, std::string_view text,
         std::vector<AnswerEvent>& out) {
  if (text.empty()) return;
  if (!out.empty() && out.back().kind == kind && out.back().call == call) {
    out.back().text += text;
  } else {
    out.push_back({.kind = kind, .text = std::string(text), .call = call});
  }
}

bool is_known_key(const std::string& key) {
  static constexpr std::string_view kKeys[] = {"name", "arguments", "parameters", "id", "type"};
  return std::find(std::begin(kKeys), std::end(kKeys), key) != std::end(kKeys);
}

}  // namespace

ToolCallReader::ToolCallReader(const AnswerFormat& format, const std::vector<std::string>& names,
                               std::string id_prefix)
    : has_raw_names_(!format.form.quotes_name),
      joins_calls_(format.form.trigger.empty()),
      raw_head_(trimmed(format.form.call_begin)),
      raw_middle_(trimmed(format.form.call_middle)),
      raw_end_(trimmed(format.form.call_end)),
      end_tag_(trimmed(format.form.list_end)),
      names_(names),
      id_prefix_(std::move(id_prefix)) {
  if (end_tag_.starts_with(']')) end_tag_.erase(0, 1);
}

void ToolCallReader::start(std::string held, bool is_bare) {
  held_ = std::move(held);
  is_bare_ = is_bare;
  is_list_ = false;
  place_ = has_raw_names_ ? Place::kRawHead : Place::kObject;
  reset_call();
}

void ToolCallReader::reset_call() {
  name_.clear();
  early_.clear();
  text_.clear();
  why_.clear();
  has_name_ = has_arguments_ = has_begun_ = is_escaped_ = false;
}

bool ToolCallReader::wrong(std::string why) {
  why_ = std::move(why);
  return false;
}

ToolCallReader::Found ToolCallReader::find(std::string_view text, std::string_view wanted) {
  if (text.starts_with(wanted)) return Found::kYes;
  return wanted.starts_with(text) ? Found::kNeedsText : Found::kNo;
}

ToolCallReader::Outcome ToolCallReader::read(std::string_view text, std::size_t& used,
                                             std::vector<AnswerEvent>& out) {
  used = 0;
  while (used < text.size()) {
    if (place_ >= Place::kAfterCall) {
      bool goes_on = false;
      const std::size_t before = used;
      const Outcome outcome = compare(text, used, goes_on, out);
      if (!has_begun_) held_ += text.substr(before, used - before);
      if (!goes_on) return outcome;
      continue;
    }
    if (!take(text[used], out)) {
      break_off(out);
      return Outcome::kBroken;
    }
    if (!has_begun_) held_ += text[used];
    ++used;
    if (held_.size() > kHeldCallBytesMax) {
      why_ = "no name within " + std::to_string(kHeldCallBytesMax) + " bytes";
      break_off(out);
      return Outcome::kBroken;
    }
  }
  return Outcome::kNeedsText;
}

void ToolCallReader::break_off(std::vector<AnswerEvent>& out) {
  const std::size_t call = has_begun_ ? calls_ - 1 : 0;
  if (has_begun_)
    out.push_back({.kind = AnswerEventKind::kCallEnd, .call = call, .is_complete = false});
  // JSON without a trigger and without a name was never meant as a call.
  if (!is_bare_ || has_name_) {
    out.push_back({.kind = AnswerEventKind::kMalformed, .text = "call of a tool: " + why_});
  }
  put(AnswerEventKind::kContent, 0, std::exchange(held_, {}), out);
}

bool ToolCallReader::take(char c, std::vector<AnswerEvent>& out) {
  switch (place_) {
    case Place::kObject:
      if (is_json_space(c) || (is_list_ && c == ',')) return true;
      if (c == '[' && !is_list_) return is_list_ = true;
      if (c != '{') return wrong("no JSON object");
      place_ = Place::kKey;
      return true;
    case Place::kKey:
    case Place::kKeyText:
      return take_key(c, out);
    case Place::kColon:
      if (c == ':') place_ = Place::kValue;
      return c == ':' || is_json_space(c) ? true : wrong("no colon behind \"" + key_ + "\"");
    case Place::kAfterValue:
      if (c == ',') place_ = Place::kKey;
      if (c == '}') return end_call(out);
      return c == ',' || is_json_space(c) ? true : wrong("no comma behind \"" + key_ + "\"");
    case Place::kRawValue:
      if (is_json_space(c)) return true;
      key_ = "arguments";
      return take_value(c, out);
    default:
      return take_value(c, out);
  }
}

// One character of a JSON text; `text_` is what stands between the quotes, still escaped.
bool ToolCallReader::take_text(char c, bool& is_whole) {
  is_whole = c == '"' && !is_escaped_;
  is_escaped_ = c == '\\' && !is_escaped_;
  if (is_whole) return true;
  text_ += c;
  return text_.size() <= kToolNameBytesMax ? true : wrong("a name is too long");
}

bool ToolCallReader::take_key(char c, std::vector<AnswerEvent>& out) {
  if (place_ == Place::kKey) {
    if (is_json_space(c)) return true;
    if (c == '}') return end_call(out);
    if (c != '"') return wrong("no key");
    place_ = Place::kKeyText;
    text_.clear();
    return true;
  }
  bool is_whole = false;
  if (!take_text(c, is_whole)) return false;
  if (!is_whole) return true;
  key_ = std::exchange(text_, {});
  // Without a trigger an answer in JSON is more likely than a call with keys of its own.
  if (is_bare_ && !is_known_key(key_)) return wrong("an unknown key");
  place_ = Place::kColon;
  return true;
}

bool ToolCallReader::take_value(char c, std::vector<AnswerEvent>& out) {
  if (place_ == Place::kNameText) {
    bool is_whole = false;
    if (!take_text(c, is_whole)) return false;
    if (!is_whole) return true;
    const auto name = nlohmann::json::parse("\"" + std::exchange(text_, {}) + "\"", nullptr, false);
    if (name.is_discarded()) return wrong("the name is no JSON text");
    place_ = Place::kAfterValue;
    return use_name(name.get<std::string>(), out);
  }
  if (place_ == Place::kValue || place_ == Place::kRawValue) {
    if (is_json_space(c)) return true;
    if (key_ == "name") {
      if (c != '"' || has_name_) return wrong("the name is no text, or stands there twice");
      place_ = Place::kNameText;
      return true;
    }
    const bool are_arguments = key_ == "arguments" || key_ == "parameters";
    if (are_arguments && (has_arguments_ || (c != '{' && c != '"' && c != 'n'))) {
      return wrong("the arguments are no object, or stand there twice");
    }
    if (follower_.begin(c) == JsonFollower::Step::kWrong) return wrong("no value");
    place_ = are_arguments && c != 'n' ? Place::kArguments : Place::kSkipped;
    if (place_ == Place::kArguments) {
      has_arguments_ = true;
      put_arguments(follower_.taken(), out);
    }
    return true;
  }
  return take_arguments(c, out);
}

bool ToolCallReader::take_arguments(char c, std::vector<AnswerEvent>& out) {
  const JsonFollower::Step step = follower_.next(c);
  if (step == JsonFollower::Step::kWrong) return wrong("a bracket does not match");
  const bool are_arguments = place_ == Place::kArguments;
  if (step != JsonFollower::Step::kMore) {
    place_ = Place::kAfterValue;
    if (step == JsonFollower::Step::kAfter) return take(c, out);
  }
  if (!are_arguments) return true;
  put_arguments(follower_.taken(), out);
  if (step == JsonFollower::Step::kEnd && has_raw_names_) return end_call(out);
  return true;
}

void ToolCallReader::put_arguments(std::string_view text, std::vector<AnswerEvent>& out) {
  if (!has_name_) {
    early_ += text;
    return;
  }
  if (!has_begun_) begin_call(out);
  put(AnswerEventKind::kCallArguments, calls_ - 1, text, out);
}

bool ToolCallReader::use_name(std::string name, std::vector<AnswerEvent>& out) {
  const bool is_known =
      names_.empty() || std::find(names_.begin(), names_.end(), name) != names_.end();
  if (!is_known) {
    has_name_ = true;  // meant as a call
    return wrong("there is no tool \"" + name + "\"");
  }
  name_ = std::move(name);
  has_name_ = true;
  if (!early_.empty()) put_arguments(std::exchange(early_, {}), out);
  return true;
}

void ToolCallReader::begin_call(std::vector<AnswerEvent>& out) {
  has_begun_ = true;
  held_.clear();
  out.push_back({.kind = AnswerEventKind::kCallBegin,
                 .text = name_,
                 .call = calls_,
                 .id = id_prefix_ + std::to_string(calls_)});
  ++calls_;
}

bool ToolCallReader::end_call(std::vector<AnswerEvent>& out) {
  if (!has_name_) return wrong("it has no name");
  if (!has_arguments_) put_arguments("{}", out);
  if (!has_begun_) begin_call(out);
  out.push_back({.kind = AnswerEventKind::kCallEnd, .call = calls_ - 1});
  place_ = has_raw_names_ ? Place::kRawAfterCall : Place::kAfterCall;
  held_.clear();
  return true;
}

// What stands between calls and behind them.
ToolCallReader::Outcome ToolCallReader::after_call(std::string_view text, std::size_t& used,
                                                   bool& goes_on) {
  const std::size_t dark = used + spaces_in_front(text.substr(used));
  if (dark == text.size()) return Outcome::kNeedsText;
  const std::string_view rest = text.substr(dark);
  const char c = rest.front();
  const bool is_closed = is_list_ && c == ']';
  const bool separates = c == ',' || (c == ';' && joins_calls_);
  if (is_closed || (separates && (is_list_ || joins_calls_))) {
    if (is_closed) is_list_ = false;
    used = dark + 1;
    goes_on = true;
    return Outcome::kNeedsText;
  }
  if (c == '{') {
    reset_call();
    place_ = Place::kObject;
    used = dark;
    goes_on = true;
    return Outcome::kNeedsText;
  }
  if (!end_tag_.empty()) {
    const Found found = find(rest, end_tag_);
    if (found == Found::kNeedsText) return Outcome::kNeedsText;
    if (found == Found::kYes) used = dark + end_tag_.size();
  }
  return Outcome::kDone;
}

ToolCallReader::Outcome ToolCallReader::compare(std::string_view text, std::size_t& used,
                                                bool& goes_on, std::vector<AnswerEvent>& out) {
  if (place_ == Place::kAfterCall) return after_call(text, used, goes_on);
  if (place_ == Place::kRawName) {
    const Outcome outcome = raw_name(text, used, goes_on);
    if (outcome == Outcome::kBroken) break_off(out);
    return outcome;
  }
  const std::size_t dark = used + spaces_in_front(text.substr(used));
  const std::string_view rest = text.substr(dark);
  if (place_ == Place::kRawHead) {
    const Found found = find(rest, raw_head_);
    if (found == Found::kNeedsText && rest.size() < raw_head_.size()) return Outcome::kNeedsText;
    if (found == Found::kNo) {
      why_ = "it does not begin as it should";
      break_off(out);
      return Outcome::kBroken;
    }
    used = dark + raw_head_.size();
    place_ = Place::kRawName;
    goes_on = true;
    return Outcome::kNeedsText;
  }
  // Behind a call: its end, the next one, the end of all of them.
  for (const std::string* tag : {&raw_end_, &end_tag_}) {
    if (tag->empty()) continue;
    const Found found = find(rest, *tag);
    if (found == Found::kNeedsText) return Outcome::kNeedsText;
    if (found == Found::kNo) continue;
    used = dark + tag->size();
    if (tag == &end_tag_) return Outcome::kDone;
    goes_on = true;
    return Outcome::kNeedsText;
  }
  if (!raw_head_.empty()) {
    const Found found = find(rest, raw_head_);
    if (found == Found::kNeedsText) return Outcome::kNeedsText;
    if (found == Found::kYes) {
      reset_call();
      used = dark;
      place_ = Place::kRawHead;
      goes_on = true;
      return Outcome::kNeedsText;
    }
  }
  return Outcome::kDone;
}

ToolCallReader::Outcome ToolCallReader::raw_name(std::string_view text, std::size_t& used,
                                                 bool& goes_on) {
  const std::size_t end = text.find(raw_middle_, used);
  if (end == std::string_view::npos) {
    if (text.size() - used <= kToolNameBytesMax) return Outcome::kNeedsText;
    why_ = "a name is too long";
    return Outcome::kBroken;
  }
  std::string_view name = trimmed(text.substr(used, end - used));
  // Mistral may put an id of the call between the two.
  name = name.substr(0, name.find("[CALL_ID]"));
  std::vector<AnswerEvent> none;
  if (name.size() > kToolNameBytesMax || name.empty() || !use_name(std::string(name), none)) {
    if (why_.empty()) why_ = "it has no name";
    return Outcome::kBroken;
  }
  used = end + raw_middle_.size();
  place_ = Place::kRawValue;
  goes_on = true;
  return Outcome::kNeedsText;
}

void ToolCallReader::finish(std::string_view rest, std::vector<AnswerEvent>& out) {
  if (place_ == Place::kAfterCall || place_ == Place::kRawAfterCall) return;
  if (has_begun_) {
    const bool is_complete = place_ == Place::kAfterValue || place_ == Place::kKey;
    out.push_back(
        {.kind = AnswerEventKind::kCallEnd, .call = calls_ - 1, .is_complete = is_complete});
    return;
  }
  why_ = "the answer ends before its arguments begin";
  if (trimmed(held_).empty() && trimmed(rest).empty()) return;
  break_off(out);
  put(AnswerEventKind::kContent, 0, rest, out);
}

}  // namespace paring::text
