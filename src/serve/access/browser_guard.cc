// SPDX-License-Identifier: Apache-2.0
#include "serve/access/browser_guard.h"

#include <algorithm>
#include <string_view>

#include "base/text.h"
#include "serve/access/refusal.h"

namespace paring::serve {

namespace {

// "https://example.org:8443" is "example.org:8443"; "null" stays.
std::string_view authority_of(std::string_view origin) {
  const std::size_t scheme = origin.find("://");
  return scheme == std::string_view::npos ? origin : origin.substr(scheme + 3);
}

// Without the port; "[::1]" stays in its brackets.
std::string_view name_of(std::string_view authority) {
  const std::size_t bracket = authority.find(']');
  const std::size_t colon = authority.find(':', bracket == std::string_view::npos ? 0 : bracket);
  return authority.substr(0, colon);
}

bool is_address(std::string_view name) {
  if (name.starts_with('[')) return true;
  // A name whose last label is a number is an IPv4 address or nothing (WHATWG URL, host parsing).
  const std::string_view last = name.substr(name.rfind('.') + 1);
  return !last.empty() &&
         std::all_of(last.begin(), last.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool is_own_name(std::string_view name) {
  return is_address(name) || name.find('.') == std::string_view::npos ||
         name.ends_with(".localhost") || name.ends_with(".internal");
}

ApiError refusal(std::string_view what, std::string_view which) {
  return refuse(Refusal::kForeignPage,
                std::string(what) + " \"" + escape_control(which.substr(0, 100)) +
                    "\" may not use a server without keys; the operator can allow it "
                    "(--cors-origins) or make keys");
}

}  // namespace

std::optional<ApiError> refuse_foreign_page(const net::HttpHead& head,
                                            std::span<const std::string> allowed_origins) {
  if (head.remote_address == "unix") return std::nullopt;
  const std::string* host_header = head.find("host");
  const std::string host = host_header == nullptr ? std::string() : ascii_lower(*host_header);
  const auto is_allowed_host = [&](const std::string& allowed) {
    return allowed == "*" || name_of(authority_of(ascii_lower(allowed))) == name_of(host);
  };
  // A name may end in the root's dot.
  std::string_view name = name_of(host);
  if (name.ends_with('.')) name.remove_suffix(1);
  if (!is_own_name(name) &&
      std::none_of(allowed_origins.begin(), allowed_origins.end(), is_allowed_host)) {
    return refusal("the host", host);
  }
  const std::string* origin = head.find("origin");
  if (origin == nullptr || authority_of(ascii_lower(*origin)) == host) return std::nullopt;
  const auto is_allowed = [&](const std::string& allowed) {
    return allowed == "*" || allowed == *origin;
  };
  if (std::any_of(allowed_origins.begin(), allowed_origins.end(), is_allowed)) {
    return std::nullopt;
  }
  return refusal("a page of", *origin);
}

}  // namespace paring::serve
