// SPDX-License-Identifier: Apache-2.0
#include "net/detail/address_list.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>

#include "base/text.h"

namespace paring::net::detail {

namespace {

constexpr unsigned kMappedBits = 96;  // ::ffff:0:0/96 in front of an IPv4 address

struct Parsed {
  std::array<std::uint8_t, 16> address{};
  bool is_four = false;
};

std::optional<Parsed> parse_address(std::string_view text) {
  const std::string whole(text);  // inet_pton wants a terminator
  Parsed parsed;
  if (::inet_pton(AF_INET6, whole.c_str(), parsed.address.data()) == 1) return parsed;
  parsed.address = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  parsed.is_four = true;
  if (::inet_pton(AF_INET, whole.c_str(), parsed.address.data() + 12) == 1) return parsed;
  return std::nullopt;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

}  // namespace

Result<AddressList> AddressList::parse(const std::vector<std::string>& entries) {
  AddressList list;
  for (const std::string& entry : entries) {
    if (entry == "unix") {
      list.has_unix_ = true;
      continue;
    }
    const std::size_t slash = std::min(entry.find('/'), entry.size());
    const auto address = parse_address(std::string_view(entry).substr(0, slash));
    const unsigned bits_max = address && address->is_four ? 32 : 128;
    unsigned bits = bits_max;
    bool is_valid = address.has_value();
    if (slash < entry.size()) {
      const char* end = entry.data() + entry.size();
      const auto [stop, error] = std::from_chars(entry.data() + slash + 1, end, bits);
      is_valid = is_valid && error == std::errc() && stop == end && bits <= bits_max;
    }
    if (!is_valid) {
      return invalid_argument("'" + escape_control(entry) + "' is not an address or a network",
                              "for example 10.1.2.3, 10.0.0.0/8, fd00::/8 or unix");
    }
    list.networks_.push_back({address->address, address->is_four ? kMappedBits + bits : bits});
  }
  return list;
}

bool AddressList::contains(std::string_view address) const {
  if (address == "unix") return has_unix_;
  const auto parsed = parse_address(address);
  if (!parsed) return false;
  return std::any_of(networks_.begin(), networks_.end(), [&](const Network& network) {
    const unsigned bytes = network.bits / 8;
    const unsigned rest = network.bits % 8;
    if (std::memcmp(network.address.data(), parsed->address.data(), bytes) != 0) return false;
    return rest == 0 || ((network.address[bytes] ^ parsed->address[bytes]) >> (8 - rest)) == 0;
  });
}

std::string AddressList::client_of(std::string_view peer, std::string_view forwarded_for) const {
  if (!contains(peer)) return std::string(peer);
  std::string_view rest = forwarded_for;
  while (!rest.empty()) {
    const std::size_t comma = rest.rfind(',');
    const std::string_view address =
        trimmed(comma == std::string_view::npos ? rest : rest.substr(comma + 1));
    if (!parse_address(address)) break;
    if (!contains(address)) return std::string(address);
    rest = rest.substr(0, comma == std::string_view::npos ? 0 : comma);
  }
  return std::string(peer);
}

}  // namespace paring::net::detail
