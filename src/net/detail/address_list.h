// SPDX-License-Identifier: Apache-2.0
// A list of addresses and networks, and whether an address is in it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace paring::net::detail {

class AddressList {
 public:
  // "10.1.2.3", "10.0.0.0/8", "fd00::/8", "unix" (clients of a unix socket). InvalidArgument.
  static Result<AddressList> parse(const std::vector<std::string>& entries);

  // False for what is no address.
  bool contains(std::string_view address) const;
  bool empty() const noexcept { return networks_.empty() && !has_unix_; }

  // Who asks, when `peer` (an address) sent this X-Forwarded-For: from the right, the first address
  // that is not in the list; `peer` itself when it is not, or when the header is not a list of
  // addresses up to there.
  std::string client_of(std::string_view peer, std::string_view forwarded_for) const;

 private:
  struct Network {
    std::array<std::uint8_t, 16> address{};  // IPv4 as ::ffff:a.b.c.d
    unsigned bits = 128;
  };
  std::vector<Network> networks_;
  bool has_unix_ = false;
};

}  // namespace paring::net::detail
