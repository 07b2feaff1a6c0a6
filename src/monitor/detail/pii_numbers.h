// SPDX-License-Identifier: Apache-2.0
// Finds what no regular expression tells for sure: numbers with check digits, and addresses. Each
// takes a time that is linear in the text. Stateless.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace paring::monitor::detail {

struct Place {
  std::size_t begin = 0;
  std::size_t end = 0;
};
using Finder = void (*)(std::string_view text, std::vector<Place>& found);

// 13 to 19 digits of a brand's first digits, in groups with a blank, dash or dot between, whose
// check digit (Luhn) holds.
void find_cards(std::string_view text, std::vector<Place>& found);
// Of a country of the registry, as long as that country's are, with the right remainder mod 97.
void find_ibans(std::string_view text, std::vector<Place>& found);
// Addresses of IPv4 and IPv6.
void find_addresses(std::string_view text, std::vector<Place>& found);

}  // namespace paring::monitor::detail
