// SPDX-License-Identifier: Apache-2.0
#include "serve/proxy/passed_content.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "serve/proxy/anthropic_content.h"
#include "serve/proxy/json_member.h"

namespace paring::serve {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kCallsMax = 128;  // of tools, in one answer

// The choice of index 0; null: none.
const Json* first_choice(const Json& answer) {
  const Json* const choices = member(answer, "choices");
  if (choices == nullptr || !choices->is_array()) return nullptr;
  for (const Json& choice : *choices) {
    const Json* const index = member(choice, "index");
    if (index == nullptr || (index->is_number_integer() && index->get<std::int64_t>() == 0)) {
      return &choice;
    }
  }
  return nullptr;
}

std::string reasoning_of(const Json& message) {
  const std::string text = text_of(message, "reasoning_content");
  return text.empty() ? text_of(message, "reasoning") : text;
}

// An answer as it is put together from its parts.
class Collected {
 public:
  void add(const Json& event) {
    if (is_anthropic(event)) return anthropic_.add(event);
    const Json* const choice = first_choice(event);
    if (choice == nullptr) return;
    has_choice_ = true;
    text_ += text_of(*choice, "text");
    const Json* delta = member(*choice, "delta");
    if (delta == nullptr) delta = member(*choice, "message");
    if (delta == nullptr) return;
    text_ += text_of(*delta, "content");
    reasoning_ += reasoning_of(*delta);
    const Json* const calls = member(*delta, "tool_calls");
    if (calls == nullptr || !calls->is_array()) return;
    for (const Json& call : *calls) add_call(call);
  }
  bool is_of_anthropic() const { return anthropic_.has_begun(); }
  bool has_choice() const { return has_choice_ || is_of_anthropic(); }
  Json chat() && {
    if (is_of_anthropic()) return std::move(anthropic_).chat();
    Json message = {{"role", "assistant"}, {"content", std::move(text_)}};
    if (!reasoning_.empty()) message["reasoning_content"] = std::move(reasoning_);
    for (auto& [place, call] : calls_) message["tool_calls"].push_back(std::move(call));
    return message;
  }
  Json text() && { return std::move(text_); }

 private:
  void add_call(const Json& call) {
    const Json* const index = member(call, "index");
    const std::int64_t place = index != nullptr && index->is_number_integer()
                                   ? index->get<std::int64_t>()
                                   : static_cast<std::int64_t>(calls_.size());
    if (!calls_.contains(place) && calls_.size() >= kCallsMax) return;
    Json& kept = calls_[place];
    if (kept.is_null()) {
      kept = {{"id", ""}, {"type", "function"}, {"function", {{"name", ""}, {"arguments", ""}}}};
    }
    if (const std::string id = text_of(call, "id"); !id.empty()) kept["id"] = id;
    const Json* const function = member(call, "function");
    if (function == nullptr) return;
    Json& into = kept["function"];
    if (const std::string name = text_of(*function, "name"); !name.empty()) into["name"] = name;
    into["arguments"].get_ref<std::string&>() += text_of(*function, "arguments");
  }

  bool has_choice_ = false;
  AnthropicAnswer anthropic_;
  std::string text_;
  std::string reasoning_;
  std::map<std::int64_t, Json> calls_;  // by index
};

// Events of a stream: lines "data: {...}".
void add_events(std::string_view bytes, Collected& collected) {
  constexpr std::string_view kData = "data:";
  while (!bytes.empty()) {
    const std::size_t end = std::min(bytes.find_first_of("\r\n"), bytes.size());
    const std::string_view line = bytes.substr(0, end);
    bytes.remove_prefix(std::min(end + 1, bytes.size()));
    if (!line.starts_with(kData)) continue;
    const Json event = Json::parse(line.substr(kData.size()), nullptr, false);
    if (!event.is_discarded()) collected.add(event);
  }
}

std::string json_text(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

bool has_passed_content(std::string_view path) noexcept {
  return path.ends_with("/completions") || path.ends_with("/messages");
}

bool read_passed(store::TrafficContent& content) {
  const Json body = Json::parse(content.prompt, nullptr, false);
  const Json* const messages = member(body, "messages");
  const Json* prompt = messages != nullptr ? messages : member(body, "prompt");
  if (prompt == nullptr) return false;
  // Of several prompts the first; token ids stay what they are.
  if (messages == nullptr && prompt->is_array() && !prompt->empty() &&
      !prompt->front().is_number()) {
    prompt = &prompt->front();
  }
  Collected collected;
  const Json whole = Json::parse(content.answer, nullptr, false);
  if (whole.is_discarded()) {
    add_events(content.answer, collected);
  } else {
    collected.add(whole);
  }
  if (!collected.has_choice()) return false;
  content.prompt = json_text(collected.is_of_anthropic() ? anthropic_prompt(body) : *prompt);
  content.answer =
      json_text(messages != nullptr ? std::move(collected).chat() : std::move(collected).text());
  return true;
}

}  // namespace paring::serve
