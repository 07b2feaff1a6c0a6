// SPDX-License-Identifier: Apache-2.0
#include "engine/chat_prompt.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <random>

#include "base/clock.h"
#include "text/chat_request.h"

namespace paring::engine {

namespace {

constexpr std::size_t kRoleBytesMax = 64;

// What stands for pieces of a conversation while a template is rendered: key i stands for
// pieces_[i]. A key may stand for nothing: then it keeps what is before and behind it apart.
class Keys {
 public:
  explicit Keys(const std::string& nonce) : prefix_("k" + nonce + "n") {}

  // The key of `piece`, "k<nonce>n<index>k".
  std::string key_of(std::string_view piece) {
    auto found = std::find(pieces_.begin(), pieces_.end(), piece);
    if (found == pieces_.end()) found = pieces_.insert(pieces_.end(), std::string(piece));
    return fmt::format("{}{}k", prefix_, found - pieces_.begin());
  }

  // The piece whose key starts at `text`, and the key's length; nullptr when none does.
  const std::string* match(std::string_view text, std::size_t* length) const {
    if (!text.starts_with(prefix_)) return nullptr;
    std::size_t index = 0;
    std::size_t at = prefix_.size();
    for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at) {
      index = index * 10 + static_cast<std::size_t>(text[at] - '0');
      if (index >= pieces_.size()) return nullptr;
    }
    if (at == prefix_.size() || at == text.size() || text[at] != 'k') return nullptr;
    *length = at + 1;
    return &pieces_[index];
  }

 private:
  std::string prefix_;
  std::vector<std::string> pieces_;
};

// Bytes of the UTF-8 character that `text` starts with; templates take nothing but whole
// characters.
std::size_t character_bytes(std::string_view text) {
  std::size_t length = 1;
  while (length < text.size() && (static_cast<unsigned char>(text[length]) & 0xC0U) == 0x80U) {
    ++length;
  }
  return length;
}

// What of a string is replaced by keys. Tried in this order.
enum class Guard : std::uint8_t {
  // Every character that a control token can start with, so that no rearranging by the template can
  // form one; and a key for nothing in front of what could go on with a token that the template
  // began.
  kFirstCharactersAndTails,
  // Whole control tokens and that key, for templates that look into messages for things like
  // "<think>".
  kWholeTokensAndTails,
};

std::string guard_text(std::string_view content, const ControlTokens& control, Guard guard,
                       Keys& keys) {
  std::string guarded;
  guarded.reserve(content.size());
  // Templates trim: white space at the beginning must stay where it is.
  const std::size_t begin = content.find_first_not_of(" \t\r\n");
  for (std::size_t i = 0; i < content.size();) {
    const std::string_view rest = content.substr(i);
    if ((i == 0 || i == begin) && control.may_continue_with(rest)) guarded += keys.key_of("");
    std::size_t length = 0;
    if (control.may_start_with(rest.front())) {
      if (guard == Guard::kFirstCharactersAndTails) {
        length = character_bytes(rest);
      } else if (const auto* token = control.at(rest)) {
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
    } else if (const auto* token = control.at(rendered.substr(i))) {
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
                          "use system, user, assistant or tool");
}

// 128 random bits as hexadecimal digits.
std::string random_nonce() {
  std::random_device device;
  std::string nonce;
  for (int i = 0; i < 4; ++i) nonce += fmt::format("{:08x}", static_cast<std::uint32_t>(device()));
  return nonce;
}

// Whether `ids` holds the control tokens of `parts`, all of them and no other.
bool has_control_of(const std::vector<std::int32_t>& ids, const std::vector<PromptPart>& parts,
                    const text::Tokenizer& tokenizer) {
  auto part = parts.begin();
  const auto next_control = [&] {
    while (part != parts.end() && part->control < 0) ++part;
    return part == parts.end() ? -1 : (part++)->control;
  };
  for (const std::int32_t id : ids) {
    if (tokenizer.is_special(id) && id != next_control()) return false;
  }
  return next_control() < 0;
}

}  // namespace

ControlTokens::ControlTokens(std::vector<Token> tokens) : tokens_(std::move(tokens)) {
  std::erase_if(tokens_, [](const Token& token) { return token.first.empty(); });
  std::stable_sort(tokens_.begin(), tokens_.end(),
                   [](const Token& a, const Token& b) { return a.first.size() > b.first.size(); });
  for (const Token& token : tokens_) {
    is_first_[static_cast<unsigned char>(token.first.front())] = true;
    for (std::size_t i = 1; i < token.first.size(); ++i) tails_.push_back(token.first.substr(i));
    tail_bytes_max_ = std::max(tail_bytes_max_, token.first.size() - 1);
  }
  std::sort(tails_.begin(), tails_.end());
  tails_.erase(std::unique(tails_.begin(), tails_.end()), tails_.end());
}

ControlTokens ControlTokens::of(const text::Tokenizer& tokenizer) {
  std::vector<Token> tokens;
  for (std::size_t i = 0; i < tokenizer.vocab_size(); ++i) {
    const auto id = static_cast<std::int32_t>(i);
    if (tokenizer.is_special(id)) tokens.emplace_back(tokenizer.spelling(id), id);
  }
  return ControlTokens(std::move(tokens));
}

const ControlTokens::Token* ControlTokens::at(std::string_view text) const {
  if (text.empty() || !may_start_with(text.front())) return nullptr;
  for (const Token& token : tokens_) {
    if (text.starts_with(token.first)) return &token;
  }
  return nullptr;
}

bool ControlTokens::occurs_in(std::string_view text) const {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (at(text.substr(i)) != nullptr) return true;
  }
  return false;
}

bool ControlTokens::may_continue_with(std::string_view text) const {
  const auto from = std::lower_bound(tails_.begin(), tails_.end(), text);
  if (from != tails_.end() && from->starts_with(text)) return true;
  for (std::size_t size = 1; size <= std::min(text.size(), tail_bytes_max_); ++size) {
    if (std::binary_search(tails_.begin(), tails_.end(), text.substr(0, size))) return true;
  }
  return false;
}

Result<SplitPrompt> split_prompt(const RenderChat& render, const text::ChatInput& chat,
                                 const ControlTokens& control, const std::string& nonce) {
  for (const std::string& role : text::roles_of(chat)) PARING_TRY_VOID(check_role(role));
  PARING_TRY(std::string plain, render(chat));
  for (const Guard guard : {Guard::kFirstCharactersAndTails, Guard::kWholeTokensAndTails}) {
    Keys keys(nonce);
    const text::ChatInput guarded = text::with_strings_changed(
        chat, [&](std::string_view string) { return guard_text(string, control, guard, keys); });
    const Result<std::string> rendered = render(guarded);
    if (rendered && restore(*rendered, keys) == plain) {
      std::vector<PromptPart> parts = cut_parts(*rendered, control, keys);
      return SplitPrompt{std::move(plain), std::move(parts)};
    }
  }
  return unsupported(
      "the model's chat template changes messages that contain special tokens, so they cannot be "
      "kept apart from its own",
      "remove texts such as <|...|> from the messages, or write the prompt yourself with --raw");
}

Result<std::vector<std::int32_t>> encode_split(const SplitPrompt& prompt,
                                               const text::Tokenizer& tokenizer,
                                               const ControlTokens& control) {
  std::vector<std::int32_t> ids;
  const bool is_plain = std::none_of(
      prompt.parts.begin(), prompt.parts.end(),
      [&](const PromptPart& part) { return part.control < 0 && control.occurs_in(part.text); });
  if (is_plain) {
    PARING_TRY(ids, tokenizer.encode(prompt.text, {.add_special = false, .parse_special = true}));
    // A token may begin in text and end in one of the template's.
    if (has_control_of(ids, prompt.parts, tokenizer)) return ids;
    ids.clear();
  }
  for (const PromptPart& part : prompt.parts) {
    if (part.control >= 0) {
      ids.push_back(part.control);
      continue;
    }
    PARING_TRY(const std::vector<std::int32_t> piece,
               tokenizer.encode(part.text, {.add_special = false, .parse_special = false}));
    ids.insert(ids.end(), piece.begin(), piece.end());
  }
  return ids;
}

ChatPrompt::ChatPrompt(std::shared_ptr<const text::Tokenizer> tokenizer,
                       std::shared_ptr<const text::ChatTemplate> chat_template, bool add_bos)
    : tokenizer_(std::move(tokenizer)),
      chat_template_(std::move(chat_template)),
      control_(ControlTokens::of(*tokenizer_)),
      add_bos_(add_bos) {}

Result<std::vector<std::int32_t>> ChatPrompt::encode(const text::ChatInput& chat) const {
  PARING_TRY(std::optional<std::vector<std::int32_t>> ids,
             encode_within(chat, std::numeric_limits<std::size_t>::max()));
  return std::move(ids).value();
}

Result<std::optional<std::vector<std::int32_t>>> ChatPrompt::encode_within(
    const text::ChatInput& chat, std::size_t text_bytes_max) const {
  // One time for every rendering of this prompt: templates may print the date.
  const auto now = static_cast<std::int64_t>(system_clock().wall_seconds());
  // Of the first rendering, the plain one: keys make the others longer.
  std::optional<bool> is_too_long;
  const RenderChat render = [&](const text::ChatInput& input) -> Result<std::string> {
    Result<std::string> text =
        chat_template_->render_at(input, /*add_generation_prompt=*/true, now);
    if (!text && text.error().hint.empty()) {
      text.error().hint = "the template comes with the model; --raw runs the model without it";
    }
    if (text && !is_too_long) is_too_long = text->size() > text_bytes_max;
    if (text && *is_too_long) return exhausted("the prompt is too long");
    return text;
  };
  const Result<SplitPrompt> prompt = split_prompt(render, chat, control_, random_nonce());
  if (is_too_long.value_or(false)) return std::optional<std::vector<std::int32_t>>();
  if (!prompt) return prompt.error();
  PARING_TRY(std::vector<std::int32_t> ids, encode_split(*prompt, *tokenizer_, control_));
  if (add_bos_ && tokenizer_->bos() && (ids.empty() || ids.front() != *tokenizer_->bos())) {
    ids.insert(ids.begin(), *tokenizer_->bos());
  }
  return std::optional(std::move(ids));
}

}  // namespace paring::engine
