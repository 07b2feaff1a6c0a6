// SPDX-License-Identifier: Apache-2.0
// What passed a proxy in Anthropic's protocol (/v1/messages), as the content of a row has it: in
// OpenAI's words. Pure functions and a plain class.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

namespace paring::serve {

// Whether an answer, or an event of its stream, is Anthropic's.
bool is_anthropic(const nlohmann::ordered_json& answer);

// Messages of a request's body. Texts become texts, calls of tools and what came of them the
// messages that OpenAI has for them; other parts (images, documents) stay as they are.
nlohmann::ordered_json anthropic_prompt(const nlohmann::ordered_json& body);

// An answer as it is put together, from a whole one or the events of a stream.
class AnthropicAnswer {
 public:
  static constexpr std::size_t kBlocksMax = 256;

  void add(const nlohmann::ordered_json& event);
  bool has_begun() const { return has_begun_; }
  nlohmann::ordered_json chat() &&;

 private:
  struct Block {
    std::string text, reasoning, id, name, arguments;
    bool is_call = false;
  };
  void begin_block(std::int64_t place, const nlohmann::ordered_json& block);

  bool has_begun_ = false;
  std::map<std::int64_t, Block> blocks_;  // by index
};

}  // namespace paring::serve
