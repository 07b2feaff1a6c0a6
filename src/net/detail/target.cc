// SPDX-License-Identifier: Apache-2.0
#include "net/detail/target.h"

#include <cstddef>

#include "base/text.h"

namespace paring::net::detail {

namespace {

Refusal bad(std::string message) { return {400, "bad_target", std::move(message)}; }

int hex_value(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

enum class PlusIs { kPlus, kSpace };

// False for a '%' without two hexadecimal digits.
bool percent_decode(std::string_view text, PlusIs plus, std::string* decoded) {
  decoded->clear();
  decoded->reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus == PlusIs::kSpace) {
      decoded->push_back(' ');
    } else if (text[i] != '%') {
      decoded->push_back(text[i]);
    } else {
      if (i + 2 >= text.size()) return false;
      const int high = hex_value(text[i + 1]);
      const int low = hex_value(text[i + 2]);
      if (high < 0 || low < 0) return false;
      decoded->push_back(static_cast<char>(16 * high + low));
      i += 2;
    }
  }
  return true;
}

bool has_control(std::string_view text) noexcept {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return true;
  }
  return false;
}

// "." or "..", or either between slashes of a decoded segment.
bool has_dot_segment(std::string_view segment) noexcept {
  while (true) {
    const std::size_t slash = segment.find('/');
    const std::string_view piece = segment.substr(0, slash);
    if (piece == "." || piece == "..") return true;
    if (slash == std::string_view::npos) return false;
    segment.remove_prefix(slash + 1);
  }
}

// The segment as it stands in HttpHead::path.
void append_canonical(const std::string& segment, std::string* path) {
  for (const char c : segment) {
    if (c == '/') {
      *path += "%2F";
    } else if (c == '%') {
      *path += "%25";
    } else {
      path->push_back(c);
    }
  }
}

std::optional<Refusal> parse_path(std::string_view raw, HttpHead* head) {
  std::string segment;
  while (!raw.empty()) {
    raw.remove_prefix(1);  // '/'
    const std::size_t end = std::min(raw.find('/'), raw.size());
    if (!percent_decode(raw.substr(0, end), PlusIs::kPlus, &segment)) {
      return bad("the path has a '%' that two hexadecimal digits do not follow");
    }
    if (has_control(segment) || segment.find('\\') != std::string::npos) {
      return bad("the path has a control character or a backslash");
    }
    if (!is_utf8(segment)) return bad("the path is not UTF-8");
    if (has_dot_segment(segment)) return bad("the path has a segment '.' or '..'");
    head->path.push_back('/');
    append_canonical(segment, &head->path);
    head->segments.push_back(segment);
    raw.remove_prefix(end);
  }
  return std::nullopt;
}

std::optional<Refusal> parse_query(std::string_view raw, HttpHead* head) {
  while (!raw.empty()) {
    const std::size_t end = std::min(raw.find('&'), raw.size());
    const std::string_view pair = raw.substr(0, end);
    raw.remove_prefix(std::min(end + 1, raw.size()));
    if (pair.empty()) continue;
    if (head->query.size() >= kQueryPairsMax) {
      return bad("the query has more than " + std::to_string(kQueryPairsMax) + " parameters");
    }
    const std::size_t equals = std::min(pair.find('='), pair.size());
    std::string name;
    std::string value;
    if (!percent_decode(pair.substr(0, equals), PlusIs::kSpace, &name) ||
        !percent_decode(pair.substr(std::min(equals + 1, pair.size())), PlusIs::kSpace, &value)) {
      return bad("the query has a '%' that two hexadecimal digits do not follow");
    }
    if (!is_utf8(name) || !is_utf8(value)) return bad("the query is not UTF-8");
    if (has_control(name)) return bad("a name in the query has a control character");
    head->query.emplace_back(std::move(name), std::move(value));
  }
  return std::nullopt;
}

}  // namespace

bool is_utf8(std::string_view text) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  for (std::size_t i = 0; i < text.size();) {
    const unsigned lead = byte(i);
    if (lead < 0x80) {
      ++i;
      continue;
    }
    const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || i + length > text.size()) return false;
    const unsigned second = byte(i + 1);
    if (lead == 0xe0 && second < 0xa0) return false;  // could be shorter
    if (lead == 0xed && second > 0x9f) return false;  // surrogates
    if (lead == 0xf0 && second < 0x90) return false;  // could be shorter
    if (lead == 0xf4 && second > 0x8f) return false;  // beyond U+10FFFF
    for (std::size_t k = 1; k < length; ++k) {
      if ((byte(i + k) & 0xc0U) != 0x80) return false;
    }
    i += length;
  }
  return true;
}

bool is_authority(std::string_view text) noexcept {
  std::string_view port;
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos || end < 3) return false;
    for (const char c : text.substr(1, end - 1)) {
      if (hex_value(c) < 0 && c != ':' && c != '.') return false;
    }
    port = text.substr(end + 1);
    if (!port.empty() && port.front() != ':') return false;
  } else {
    const std::size_t colon = std::min(text.find(':'), text.size());
    if (colon == 0) return false;
    for (const char c : text.substr(0, colon)) {
      const bool is_name = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                           (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
      if (!is_name) return false;
    }
    port = text.substr(colon);
  }
  if (port.empty()) return true;
  port.remove_prefix(1);
  if (port.size() > 5) return false;
  for (const char c : port) {
    if (c < '0' || c > '9') return false;
  }
  return true;
}

std::optional<Refusal> parse_target(std::string_view target, HttpHead* head,
                                    std::string* authority) {
  for (const char c : target) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= 0x20 || byte >= 0x7f || c == '#' || c == '\\') {
      return bad("the request target has a character that must be percent-encoded");
    }
  }
  if (target == "*") {
    if (head->method != "OPTIONS") return bad("only OPTIONS may ask for '*'");
    head->path = "*";
    return std::nullopt;
  }
  if (!target.starts_with('/')) {
    const std::size_t scheme_end = target.find("://");
    const std::string scheme = ascii_lower(target.substr(0, std::min(scheme_end, target.size())));
    if (scheme_end == std::string_view::npos || (scheme != "http" && scheme != "https")) {
      return bad("the request target is neither a path nor an http address");
    }
    target.remove_prefix(scheme_end + 3);
    const std::size_t host_end = std::min(target.find_first_of("/?"), target.size());
    *authority = std::string(target.substr(0, host_end));
    if (!is_authority(*authority))
      return bad("the address in the request target has no valid host");
    target.remove_prefix(host_end);
    if (target.empty() || target.front() == '?') head->path = "";
  }
  const std::size_t question = std::min(target.find('?'), target.size());
  const std::string_view raw_path = target.substr(0, question);
  if (auto refusal = parse_path(raw_path.empty() ? "/" : raw_path, head)) return refusal;
  return parse_query(target.substr(std::min(question + 1, target.size())), head);
}

}  // namespace paring::net::detail
