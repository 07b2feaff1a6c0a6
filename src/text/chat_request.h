// SPDX-License-Identifier: Apache-2.0
// Conversations as callers send them (the request shapes of OpenAI's chat completions) made into
// what chat templates take, and the strings in them. Stateless, any thread.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "text/chat_template.h"

namespace paring::text {

// What the parts of a conversation are called in errors, such as "--messages 'chat.json'".
struct ChatNames {
  std::string messages = "the messages";
  std::string tools = "the tools";
  std::string variables = "the variables";
};

// Reads a conversation, each part JSON text; empty parts are absent. `messages` is a list of
// messages, or an object with "messages" and perhaps "tools" and "chat_template_kwargs" (the
// variables), which then may not be given twice. Changed into what templates expect:
//   - content that is null or absent becomes "", content in parts of type "text" becomes one text
//     (parts joined by line breaks);
//   - arguments of a tool call that are JSON in a string, as OpenAI writes them, become an object.
// Everything else is left as it is. InvalidArgument for what is not such a conversation (with the
// place: line and column of what is no JSON, else the field) and beyond the limits of
// chat_template.h, Unsupported for content that is not text.
Result<ChatInput> read_chat(const ChatInput& given, const ChatNames& names = {});

// The same for messages that are role and text only.
ChatInput chat_of(std::span<const ChatMessage> messages);

// `chat` with every string in it replaced by `change(string)`: values, and names of fields below
// the parts that templates know of. Left alone are roles and the names of variables. REQUIRES:
// `chat` came from read_chat() or chat_of().
using ChangeString = std::function<std::string(std::string_view)>;
ChatInput with_strings_changed(const ChatInput& chat, const ChangeString& change);

// The role of each message. REQUIRES as above.
std::vector<std::string> roles_of(const ChatInput& chat);

}  // namespace paring::text
