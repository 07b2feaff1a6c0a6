// SPDX-License-Identifier: Apache-2.0
// Request targets (RFC 9112, 3.2; RFC 3986): from what stands in the request line to a path and a
// query that mean one thing only.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "net/http_message.h"

namespace paring::net::detail {

// Why a request is not served. `code` is a word for programs.
struct Refusal {
  int status = 400;
  const char* code = "bad_request";
  std::string message{};
};

inline constexpr std::size_t kQueryPairsMax = 100;

// Sets head->path, segments and query. `authority` gets the host of an absolute target
// ("http://host/path"), else it stays empty.
std::optional<Refusal> parse_target(std::string_view target, HttpHead* head,
                                    std::string* authority);

// A host with an optional port, as in Host: and in absolute targets.
bool is_authority(std::string_view text) noexcept;

// Well-formed as Unicode 15, table 3-7: no surrogates, nothing longer than needed.
bool is_utf8(std::string_view text) noexcept;

}  // namespace paring::net::detail
