// SPDX-License-Identifier: Apache-2.0
#include "serve/proxy/anthropic_content.h"

#include <utility>

#include "serve/proxy/json_member.h"

namespace paring::serve {

namespace {

using Json = nlohmann::ordered_json;

std::string json_text(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// A text, or blocks, as OpenAI's content: a text where all of it is text.
Json content_of(const Json& content) {
  if (!content.is_array()) return content.is_string() ? content : Json("");
  std::string text;
  for (const Json& block : content) {
    if (text_of(block, "type") != "text") return content;
    text += text_of(block, "text");
  }
  return text;
}

Json call_of(const std::string& id, const std::string& name, std::string arguments) {
  return {{"id", id},
          {"type", "function"},
          {"function", {{"name", name}, {"arguments", std::move(arguments)}}}};
}

// A message whose content is blocks, as one or more of OpenAI's.
void append_blocks(Json& messages, const std::string& role, const Json& blocks) {
  Json rest = Json::array();
  Json calls = Json::array();
  std::string reasoning;
  for (const Json& block : blocks) {
    const std::string type = text_of(block, "type");
    if (type == "tool_use") {
      const Json* const input = member(block, "input");
      calls.push_back(call_of(text_of(block, "id"), text_of(block, "name"),
                              input == nullptr ? "{}" : json_text(*input)));
    } else if (type == "tool_result") {
      const Json* const result = member(block, "content");
      messages.push_back({{"role", "tool"},
                          {"tool_call_id", text_of(block, "tool_use_id")},
                          {"content", result == nullptr ? Json("") : content_of(*result)}});
    } else if (type == "thinking") {
      reasoning += text_of(block, "thinking");
    } else if (type != "redacted_thinking") {
      rest.push_back(block);
    }
  }
  if (rest.empty() && calls.empty() && reasoning.empty()) return;
  Json message = {{"role", role}, {"content", content_of(rest)}};
  if (!reasoning.empty()) message["reasoning_content"] = std::move(reasoning);
  if (!calls.empty()) message["tool_calls"] = std::move(calls);
  messages.push_back(std::move(message));
}

}  // namespace

bool is_anthropic(const Json& answer) {
  const std::string type = text_of(answer, "type");
  return type == "message" || type.starts_with("message_") || type.starts_with("content_block_");
}

Json anthropic_prompt(const Json& body) {
  Json messages = Json::array();
  if (const Json* const system = member(body, "system"); system != nullptr && !system->is_null()) {
    messages.push_back({{"role", "system"}, {"content", content_of(*system)}});
  }
  const Json* const given = member(body, "messages");
  if (given == nullptr || !given->is_array()) return messages;
  for (const Json& message : *given) {
    const std::string role = text_of(message, "role");
    const Json* const content = member(message, "content");
    if (content != nullptr && content->is_array()) {
      append_blocks(messages, role, *content);
    } else {
      messages.push_back(
          {{"role", role}, {"content", content == nullptr ? Json("") : content_of(*content)}});
    }
  }
  return messages;
}

void AnthropicAnswer::begin_block(std::int64_t place, const Json& block) {
  if (!blocks_.contains(place) && blocks_.size() >= kBlocksMax) return;
  Block& kept = blocks_[place];
  kept.text += text_of(block, "text");
  kept.reasoning += text_of(block, "thinking");
  kept.is_call = text_of(block, "type") == "tool_use";
  if (!kept.is_call) return;
  kept.id = text_of(block, "id");
  kept.name = text_of(block, "name");
  // Of a stream it is empty here, and comes in pieces.
  const Json* const input = member(block, "input");
  if (input != nullptr && !input->empty()) kept.arguments = json_text(*input);
}

void AnthropicAnswer::add(const Json& event) {
  const std::string type = text_of(event, "type");
  const Json* const index = member(event, "index");
  const std::int64_t place =
      index != nullptr && index->is_number_integer() ? index->get<std::int64_t>() : 0;
  if (type == "message") {
    has_begun_ = true;
    const Json* const content = member(event, "content");
    if (content == nullptr || !content->is_array()) return;
    for (std::size_t i = 0; i < content->size(); ++i) {
      begin_block(static_cast<std::int64_t>(i), (*content)[i]);
    }
  } else if (type == "message_start") {
    has_begun_ = true;
  } else if (type == "content_block_start") {
    if (const Json* const block = member(event, "content_block")) begin_block(place, *block);
  } else if (type == "content_block_delta") {
    const Json* const delta = member(event, "delta");
    const auto found = blocks_.find(place);
    if (delta == nullptr || found == blocks_.end()) return;
    found->second.text += text_of(*delta, "text");
    found->second.reasoning += text_of(*delta, "thinking");
    found->second.arguments += text_of(*delta, "partial_json");
  }
}

Json AnthropicAnswer::chat() && {
  std::string text;
  std::string reasoning;
  Json calls = Json::array();
  for (auto& [place, block] : blocks_) {
    text += block.text;
    reasoning += block.reasoning;
    if (!block.is_call) continue;
    if (block.arguments.empty()) block.arguments = "{}";
    calls.push_back(call_of(block.id, block.name, std::move(block.arguments)));
  }
  Json message = {{"role", "assistant"}, {"content", std::move(text)}};
  if (!reasoning.empty()) message["reasoning_content"] = std::move(reasoning);
  if (!calls.empty()) message["tool_calls"] = std::move(calls);
  return message;
}

}  // namespace paring::serve
