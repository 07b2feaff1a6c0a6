// SPDX-License-Identifier: Apache-2.0
#include "serve/access/loopback.h"

namespace paring::serve {

bool is_loopback(const std::string& address) {
  // A name such as 127.example.org may stand for any address.
  const bool is_number = address.find_first_not_of("0123456789.") == std::string::npos;
  return address == "localhost" || (address.starts_with("127.") && is_number) || address == "::1" ||
         address.starts_with("unix:");
}

}  // namespace paring::serve
