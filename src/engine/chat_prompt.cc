// SPDX-License-Identifier: Apache-2.0
#include "engine/chat_prompt.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <random>
#include <string_view>

#include "base/clock.h"

namespace paring::engine {

namespace {

constexpr std::int32_t kUnknownTokenType = 2;  // GGUF tokenizer.ggml.token_type
constexpr std::int32_t kControlTokenType = 3;
constexpr std::size_t kRoleBytesMax = 64;

// What stands for pieces of messages while a template is rendered: key i stands for pieces_[i].
class Keys {
 public:
  explicit Keys(const std::string& nonce) : nonce_(nonce) {}

  // The key of `piece`, "k<nonce>n<index>k".
  std::string key_of(std::string_view piece) {
    auto found = std::find(pieces_.begin(), pieces_.end(), piece);
    if (found == pieces_.end()) found = pieces_.insert(pieces_.end(), std::string(piece));
    return fmt::format("k{}n{}k", nonce_, found - pieces_.begin());
  }

  // The piece whose key starts at `text`, and the key's length; nullptr when none does.
  const std::string* match(std::string_view text, std::size_t* length) const {
    if (pieces_.empty() || !text.starts_with('k') || !text.substr(1).starts_with(nonce_)) {
      return nullptr;
    }
    for (std::size_t i = 0; i < pieces_.size(); ++i) {
      const std::string key = fmt::format("k{}n{}k", nonce_, i);
      if (text.starts_with(key)) {
        *length = key.size();
        return &pieces_[i];
      }
    }
    return nullptr;
  }

 private:
  const std::string& nonce_;
  std::vector<std::string> pieces_;
};

const std::pair<std::string, std::int32_t>* control_at(const ControlTokens& control,
                                                       std::string_view text) {
  for (const auto& token : control.tokens) {
    if (text.starts_with(token.first)) return &token;
  }
  return nullptr;
}

// Bytes of the UTF-8 character that `text` starts with; templates take nothing but whole
// characters.
std::size_t character_bytes(std::string_view text) {
  std::size_t length = 1;
  while (length < text.size() && (static_cast<unsigned char>(text[length]) & 0xC0U) == 0x80U) {
    ++length;
  }
  return length;
}

// What of a message is replaced by keys.
enum class Guard : std::uint8_t {
  // Every character that a control token can start with, so that no rearranging of messages by the
  // template can form one.
  kFirstCharacters,
  // Whole control tokens, for templates that look into messages for things like "<think>".
  kWholeTokens,
};

std::string guard_text(std::string_view content, const ControlTokens& control, Guard guard,
                       Keys& keys) {
  std::array<bool, 256> is_first{};
  for (const auto& token : control.tokens) {
    is_first[static_cast<unsigned char>(token.first.front())] = true;
  }
  std::string guarded;
  guarded.reserve(content.size());
  for (std::size_t i = 0; i < content.size();) {
    const std::string_view rest = content.substr(i);
    std::size_t length = 0;
    if (is_first[static_cast<unsigned char>(rest.front())]) {
      if (guard == Guard::kFirstCharacters) {
        length = character_bytes(rest);
      } else if (const auto* token = control_at(control, rest)) {
        length = token->first.size();
      }
    }
    if (length == 0) {
      guarded += rest.front();
      ++i;
      continue;
    }
    guarded += keys.key_of(rest.substr(0, length));
    i += length;
  }
  return guarded;
}

std::string restore(std::string_view rendered, const Keys& keys) {
  std::string text;
  text.reserve(rendered.size());
  for (std::size_t i = 0; i < rendered.size();) {
    std::size_t length = 1;
    const std::string* piece = keys.match(rendered.substr(i), &length);
    if (piece != nullptr) {
      text += *piece;
    } else {
      text += rendered[i];
    }
    i += length;
  }
  return text;
}

// Cuts the guarded rendering at its control tokens; keys become their pieces, as text.
std::vector<PromptPart> cut_parts(std::string_view rendered, const ControlTokens& control,
                                  const Keys& keys) {
  std::vector<PromptPart> parts;
  std::string text;
  const auto flush = [&] {
    if (!text.empty()) parts.push_back({std::exchange(text, {}), -1});
  };
  for (std::size_t i = 0; i < rendered.size();) {
    std::size_t length = 1;
    if (const std::string* piece = keys.match(rendered.substr(i), &length)) {
      text += *piece;
    } else if (const auto* token = control_at(control, rendered.substr(i))) {
      flush();
      parts.push_back({token->first, token->second});
      length = token->first.size();
    } else {
      text += rendered[i];
    }
    i += length;
  }
  flush();
  return parts;
}

// Roles are written by templates next to control tokens: they must not hold anything but a word.
Result<void> check_role(std::string_view role) {
  const bool is_word = !role.empty() && role.size() <= kRoleBytesMax &&
                       std::all_of(role.begin(), role.end(),
                                   [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; });
  if (is_word) return {};
  return invalid_argument("the role of a message is not a word of lower-case letters",
                          "use system, user or assistant");
}

// 128 random bits as hexadecimal digits.
std::string random_nonce() {
  std::random_device device;
  std::string nonce;
  for (int i = 0; i < 4; ++i) nonce += fmt::format("{:08x}", static_cast<std::uint32_t>(device()));
  return nonce;
}

}  // namespace

Result<ControlTokens> read_control_tokens(const io::Metadata& metadata) {
  ControlTokens control;
  if (!metadata.has("tokenizer.ggml.token_type")) return control;
  PARING_TRY(const auto types, metadata.i32_array("tokenizer.ggml.token_type"));
  PARING_TRY(const auto tokens, metadata.strings("tokenizer.ggml.tokens"));
  for (std::size_t i = 0; i < std::min<std::size_t>(types.size(), tokens.size()); ++i) {
    const bool is_control = types[i] == kControlTokenType || types[i] == kUnknownTokenType;
    if (is_control && !tokens[i].empty()) {
      control.tokens.emplace_back(tokens[i], static_cast<std::int32_t>(i));
    }
  }
  std::stable_sort(control.tokens.begin(), control.tokens.end(),
                   [](const auto& a, const auto& b) { return a.first.size() > b.first.size(); });
  return control;
}

Result<std::vector<PromptPart>> split_prompt(const RenderMessages& render,
                                             std::span<const text::ChatMessage> messages,
                                             const ControlTokens& control,
                                             const std::string& nonce) {
  for (const text::ChatMessage& message : messages) PARING_TRY_VOID(check_role(message.role));
  PARING_TRY(const std::string plain, render(messages));
  for (const Guard guard : {Guard::kFirstCharacters, Guard::kWholeTokens}) {
    Keys keys(nonce);
    std::vector<text::ChatMessage> guarded(messages.begin(), messages.end());
    for (text::ChatMessage& message : guarded) {
      message.content = guard_text(message.content, control, guard, keys);
    }
    const Result<std::string> rendered = render(guarded);
    if (rendered && restore(*rendered, keys) == plain) {
      return cut_parts(*rendered, control, keys);
    }
  }
  return unsupported(
      "the model's chat template changes messages that contain special tokens, so they cannot be "
      "kept apart from its own",
      "remove texts such as <|...|> from the messages, or write the prompt yourself with --raw");
}

Result<std::vector<std::int32_t>> encode_parts(std::span<const PromptPart> parts,
                                               const EncodeText& encode) {
  std::vector<std::int32_t> ids;
  for (const PromptPart& part : parts) {
    if (part.control >= 0) {
      ids.push_back(part.control);
      continue;
    }
    PARING_TRY(const std::vector<std::int32_t> piece, encode(part.text));
    ids.insert(ids.end(), piece.begin(), piece.end());
  }
  return ids;
}

Result<ChatPrompt> ChatPrompt::create(const io::Metadata& metadata,
                                      std::shared_ptr<const text::Tokenizer> tokenizer,
                                      std::shared_ptr<const text::ChatTemplate> chat_template,
                                      bool add_bos) {
  ChatPrompt prompt;
  PARING_TRY(prompt.control_, read_control_tokens(metadata));
  prompt.tokenizer_ = std::move(tokenizer);
  prompt.chat_template_ = std::move(chat_template);
  prompt.add_bos_ = add_bos;
  return prompt;
}

Result<std::vector<std::int32_t>> ChatPrompt::encode(
    std::span<const text::ChatMessage> messages) const {
  // One time for every rendering of this prompt: templates may print the date.
  const auto now = static_cast<std::int64_t>(system_clock().wall_seconds());
  const RenderMessages render = [&](std::span<const text::ChatMessage> list) {
    Result<std::string> text = chat_template_->render_at(list, /*add_generation_prompt=*/true, now);
    if (!text && text.error().hint.empty()) {
      text.error().hint = "the template comes with the model; --raw runs the model without it";
    }
    return text;
  };
  PARING_TRY(const auto parts, split_prompt(render, messages, control_, random_nonce()));
  PARING_TRY(std::vector<std::int32_t> ids, encode_parts(parts, [&](std::string_view piece) {
               return tokenizer_->encode(piece, {.add_special = false, .parse_special = false});
             }));
  if (add_bos_ && tokenizer_->bos() && (ids.empty() || ids.front() != *tokenizer_->bos())) {
    ids.insert(ids.begin(), *tokenizer_->bos());
  }
  return ids;
}

}  // namespace paring::engine
