// SPDX-License-Identifier: Apache-2.0
#include "base/redact.h"

#include <algorithm>
#include <array>
#include <optional>

#include "base/text.h"

namespace paring {

namespace {

// A word that begins so and goes on for kKeyLettersMin letters is a key.
constexpr std::array<std::string_view, 7> kKeyBeginnings = {"pk-",  "sk-", "hf_", "eyJ",
                                                            "ghp_", "xox", "AKIA"};
constexpr std::size_t kKeyLettersMin = 12;

// What follows one of these names, and = or : or a blank, is a secret. Lower case.
constexpr std::array<std::string_view, 14> kSecretNames = {"authorization", "proxy-authorization",
                                                           "x-api-key",     "api-key",
                                                           "api_key",       "apikey",
                                                           "bearer",        "access_token",
                                                           "password",      "secret",
                                                           "client_secret", "hf_token",
                                                           "auth_token",    "cookie"};

bool is_word(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-';
}

// Letters that tokens of any kind are made of.
bool is_key_letter(char c) noexcept {
  return is_word(c) || c == '.' || c == '+' || c == '/' || c == '=' || c == '~';
}

std::size_t word_end(std::string_view text, std::size_t begin) noexcept {
  while (begin < text.size() && is_word(text[begin])) ++begin;
  return begin;
}

// Where the key that begins at `begin` ends; nullopt when there is none.
std::optional<std::size_t> key_end(std::string_view text, std::size_t begin) noexcept {
  for (const std::string_view beginning : kKeyBeginnings) {
    if (!text.substr(begin).starts_with(beginning)) continue;
    std::size_t end = begin + beginning.size();
    while (end < text.size() && is_key_letter(text[end])) ++end;
    if (end - begin >= beginning.size() + kKeyLettersMin) return end;
  }
  return std::nullopt;
}

bool is_blank(char c) noexcept { return c == ' ' || c == '\t'; }

struct Span {
  std::size_t begin;
  std::size_t end;
};

// The value after a secret's name that ends at `name_end`: after blanks, quotes and one of = : , to
// the end of the quotes or line. A bare value of "Authorization" is all the rest of its line, since
// the scheme stands before the secret.
std::optional<Span> value_after(std::string_view text, std::size_t name_end, bool needs_sign) {
  std::size_t at = name_end;
  if (at < text.size() && (text[at] == '"' || text[at] == '\'')) ++at;
  while (at < text.size() && is_blank(text[at])) ++at;
  const bool has_sign = at < text.size() && (text[at] == '=' || text[at] == ':');
  if (!has_sign && needs_sign) return std::nullopt;
  if (has_sign) ++at;
  while (at < text.size() && is_blank(text[at])) ++at;
  if (at < text.size() && (text[at] == '"' || text[at] == '\'')) {
    const char quote = text[at++];
    const std::size_t end = std::min(text.find(quote, at), text.size());
    return Span{at, end};
  }
  std::size_t end = at;
  while (end < text.size() && is_key_letter(text[end])) ++end;
  return Span{at, end};
}

// "Bearer x", "Basic x", "Digest ..." after Authorization: the rest of the line, or of the quotes.
Span whole_line(std::string_view text, Span value) {
  std::size_t end = value.begin;
  while (end < text.size() && text[end] != '\r' && text[end] != '\n' && text[end] != '"' &&
         text[end] != '\'') {
    ++end;
  }
  return {value.begin, end};
}

std::optional<Span> secret_after_name(std::string_view text, std::size_t begin, std::size_t end) {
  const std::string name = ascii_lower(text.substr(begin, end - begin));
  if (std::find(kSecretNames.begin(), kSecretNames.end(), name) == kSecretNames.end()) {
    return std::nullopt;
  }
  const bool is_bearer = name == "bearer";
  std::optional<Span> value = value_after(text, end, !is_bearer);
  if (!value) return std::nullopt;
  if (name.ends_with("authorization") || name == "cookie") value = whole_line(text, *value);
  // "bearer" is a word of prose as well; what follows it there is short.
  if (is_bearer && value->end - value->begin < kKeyLettersMin) return std::nullopt;
  if (value->begin == value->end) return std::nullopt;
  return value;
}

}  // namespace

std::string redact(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  std::size_t at = 0;
  while (at < text.size()) {
    if (!is_word(text[at])) {
      out += text[at++];
      continue;
    }
    if (const auto end = key_end(text, at)) {
      out += kRedacted;
      at = *end;
      continue;
    }
    const std::size_t end = word_end(text, at);
    if (const auto secret = secret_after_name(text, at, end)) {
      out += text.substr(at, secret->begin - at);
      out += kRedacted;
      at = secret->end;
      continue;
    }
    out += text.substr(at, end - at);
    at = end;
  }
  return out;
}

}  // namespace paring
