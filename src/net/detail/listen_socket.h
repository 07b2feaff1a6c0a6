// SPDX-License-Identifier: Apache-2.0
// Listening sockets: IPv4, IPv6 and unix, with errors a user can act on.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace paring::net::detail {

struct ListenSocket {
  int descriptor = -1;  // non-blocking, close-on-exec; of whoever got it
  int family = 0;       // AF_INET, AF_INET6, AF_UNIX
  std::uint16_t port = 0;
  std::string url;
  std::string unix_path{};  // to be removed when the server ends
};

// See HttpServerOptions::address.
Result<ListenSocket> listen_on(const std::string& address, std::uint16_t port);

// What accept() gave. `descriptor` < 0: nothing, `error_number` tells why (EAGAIN: nobody waits).
struct Accepted {
  int descriptor = -1;
  int error_number = 0;
  std::string remote_address;
};
Accepted accept_from(const ListenSocket& socket);

// Options of an accepted connection: no delay, keep-alive probes, an end to unacknowledged data.
void tune_connection(int descriptor, int family, double write_seconds) noexcept;

}  // namespace paring::net::detail
