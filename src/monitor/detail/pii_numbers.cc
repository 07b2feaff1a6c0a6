// SPDX-License-Identifier: Apache-2.0
#include "monitor/detail/pii_numbers.h"

#include <arpa/inet.h>

#include <algorithm>
#include <iterator>
#include <string>

namespace paring::monitor::detail {

namespace {

constexpr std::size_t kCardDigitsMin = 13;
constexpr std::size_t kCardDigitsMax = 19;

// The registry of IBANs (SWIFT, release 96): country and length.
struct IbanCountry {
  char code[3];
  std::size_t length;
};
constexpr IbanCountry kIbans[] = {
    {"AD", 24}, {"AE", 23}, {"AL", 28}, {"AT", 20}, {"AZ", 28}, {"BA", 20}, {"BE", 16}, {"BG", 22},
    {"BH", 22}, {"BI", 27}, {"BR", 29}, {"BY", 28}, {"CH", 21}, {"CR", 22}, {"CY", 28}, {"CZ", 24},
    {"DE", 22}, {"DJ", 27}, {"DK", 18}, {"DO", 28}, {"EE", 20}, {"EG", 29}, {"ES", 24}, {"FI", 18},
    {"FK", 18}, {"FO", 18}, {"FR", 27}, {"GB", 22}, {"GE", 22}, {"GI", 23}, {"GL", 18}, {"GR", 27},
    {"GT", 28}, {"HR", 21}, {"HU", 28}, {"IE", 22}, {"IL", 23}, {"IQ", 23}, {"IS", 26}, {"IT", 27},
    {"JO", 30}, {"KW", 30}, {"KZ", 20}, {"LB", 28}, {"LC", 32}, {"LI", 21}, {"LT", 20}, {"LU", 20},
    {"LV", 21}, {"LY", 25}, {"MC", 27}, {"MD", 24}, {"ME", 22}, {"MK", 19}, {"MN", 20}, {"MR", 27},
    {"MT", 31}, {"MU", 30}, {"NI", 28}, {"NL", 18}, {"NO", 15}, {"OM", 23}, {"PK", 24}, {"PL", 28},
    {"PS", 29}, {"PT", 25}, {"QA", 29}, {"RO", 24}, {"RS", 22}, {"RU", 33}, {"SA", 24}, {"SC", 31},
    {"SD", 18}, {"SE", 24}, {"SI", 19}, {"SK", 24}, {"SM", 27}, {"SO", 23}, {"ST", 25}, {"SV", 28},
    {"TL", 23}, {"TN", 24}, {"TR", 26}, {"UA", 29}, {"VA", 22}, {"VG", 24}, {"XK", 20}, {"YE", 30}};

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_alnum(char c) { return is_digit(c) || is_letter(c); }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

bool has_luhn(std::string_view digits) {
  int sum = 0;
  bool is_doubled = false;
  for (auto digit = digits.rbegin(); digit != digits.rend(); ++digit) {
    int value = *digit - '0';
    if (is_doubled) value = value > 4 ? 2 * value - 9 : 2 * value;
    sum += value;
    is_doubled = !is_doubled;
  }
  return sum % 10 == 0;
}

// Of the networks: 2221 to 2720 and 3 to 6.
bool is_card(std::string_view digits) {
  if (digits.size() < kCardDigitsMin || digits.size() > kCardDigitsMax) return false;
  const std::string_view first = digits.substr(0, 4);
  const bool is_new = first >= "2221" && first <= "2720";
  return (is_new || (digits[0] >= '3' && digits[0] <= '6')) && has_luhn(digits);
}

// Groups of digits with one separator between them.
std::vector<Place> groups_at(std::string_view text, std::size_t at) {
  std::vector<Place> groups;
  while (at < text.size() && is_digit(text[at])) {
    std::size_t end = at;
    while (end < text.size() && is_digit(text[end])) ++end;
    groups.push_back({at, end});
    const bool goes_on = end + 1 < text.size() && is_digit(text[end + 1]) &&
                         (text[end] == ' ' || text[end] == '-' || text[end] == '.');
    if (!goes_on) break;
    at = end + 1;
  }
  return groups;
}

std::size_t iban_length(char first, char second) {
  const auto* const country = std::ranges::find_if(kIbans, [&](const IbanCountry& each) {
    return each.code[0] == first && each.code[1] == second;
  });
  return country == std::end(kIbans) ? 0 : country->length;
}

// Letters are 10 to 35; the first four characters count as the last.
bool has_remainder_one(std::string_view iban) {
  constexpr int kDivisor = 97;
  int remainder = 0;
  for (std::size_t i = 0; i < iban.size(); ++i) {
    const char c = iban[(i + 4) % iban.size()];
    const int value = is_digit(c) ? c - '0' : c - 'A' + 10;
    remainder = (remainder * (value > 9 ? 100 : 10) + value) % kDivisor;
  }
  return remainder == 1;
}

// The end of an IBAN that begins there; 0: there is none.
std::size_t iban_end(std::string_view text, std::size_t begin) {
  const std::size_t length = iban_length(upper(text[begin]), upper(text[begin + 1]));
  if (length == 0) return 0;
  std::string iban;
  std::size_t at = begin;
  while (at < text.size() && iban.size() < length) {
    if (is_alnum(text[at])) {
      iban += upper(text[at]);
    } else if ((text[at] != ' ' && text[at] != '-') || !is_alnum(text[at - 1])) {
      return 0;
    }
    ++at;
  }
  const bool is_whole = iban.size() == length && (at == text.size() || !is_alnum(text[at]));
  return is_whole && has_remainder_one(iban) ? at : 0;
}

bool is_of_address(char c) { return is_hex(c) || c == ':' || c == '.'; }

// Four numbers up to 255, which may have zeros in front.
bool is_ipv4(std::string_view text) {
  constexpr int kNumberMax = 255;
  int numbers = 0;
  std::size_t at = 0;
  while (at < text.size()) {
    int value = 0;
    std::size_t digits = 0;
    while (at < text.size() && is_digit(text[at]) && digits < 4) {
      value = value * 10 + (text[at] - '0');
      ++at;
      ++digits;
    }
    if (digits == 0 || digits > 3 || value > kNumberMax) return false;
    ++numbers;
    if (at == text.size()) break;
    if (text[at] != '.' || at + 1 == text.size()) return false;
    ++at;
  }
  return numbers == 4;
}

// Not what programs write for a name in a namespace, such as a::b.
bool is_ipv6(std::string_view text) {
  constexpr std::size_t kWithoutDigitsMin = 8;
  if (text.size() < kWithoutDigitsMin && std::ranges::none_of(text, is_digit)) return false;
  if (text.size() >= INET6_ADDRSTRLEN || std::ranges::count(text, ':') < 2 ||
      std::ranges::none_of(text, is_hex)) {
    return false;
  }
  in6_addr address{};
  return ::inet_pton(AF_INET6, std::string(text).c_str(), &address) == 1;
}

bool add_ipv6(std::string_view text, Place place, std::vector<Place>& found) {
  while (place.end > place.begin && text[place.end - 1] == '.') --place.end;
  const auto whole = [&] { return text.substr(place.begin, place.end - place.begin); };
  if (whole().size() > 2 && whole().starts_with(':') && !whole().starts_with("::")) ++place.begin;
  if (whole().size() > 2 && whole().ends_with(':') && !whole().ends_with("::")) --place.end;
  const auto is_open = [&](std::size_t begin, std::size_t end) {
    return (begin > 0 && is_alnum(text[begin - 1])) || (end < text.size() && is_alnum(text[end]));
  };
  // A port, or a name, may stand beside it.
  const std::size_t first = text.find(':', place.begin);
  const std::size_t last = text.rfind(':', place.end - 1);
  const Place tries[] = {place, {place.begin, last}, {first + 1, place.end}};
  if (first == std::string_view::npos || first >= place.end) return false;
  for (const Place& each : tries) {
    if (each.end <= each.begin || is_open(each.begin, each.end)) continue;
    if (!is_ipv6(text.substr(each.begin, each.end - each.begin))) continue;
    found.push_back(each);
    return true;
  }
  return false;
}

void add_ipv4(std::string_view text, Place place, std::vector<Place>& found) {
  const auto is_part = [&](std::size_t at) { return is_digit(text[at]) || text[at] == '.'; };
  for (std::size_t at = place.begin; at < place.end;) {
    if (!is_part(at)) {
      ++at;
      continue;
    }
    std::size_t end = at;
    while (end < place.end && is_part(end)) ++end;
    Place run{at, end};
    while (run.end > run.begin && text[run.end - 1] == '.') --run.end;
    while (run.begin < run.end && text[run.begin] == '.') ++run.begin;
    if (is_ipv4(text.substr(run.begin, run.end - run.begin))) found.push_back(run);
    at = end;
  }
}

}  // namespace

void find_cards(std::string_view text, std::vector<Place>& found) {
  for (std::size_t at = 0; at < text.size();) {
    if (!is_digit(text[at])) {
      ++at;
      continue;
    }
    const std::vector<Place> groups = groups_at(text, at);
    for (std::size_t first = 0; first < groups.size();) {
      std::string digits;
      std::size_t after = first;  // of the longest that holds: a shorter one may by chance
      for (std::size_t last = first; last < groups.size(); ++last) {
        const Place& group = groups[last];
        if (digits.size() + (group.end - group.begin) > kCardDigitsMax) break;
        digits += text.substr(group.begin, group.end - group.begin);
        if (is_card(digits)) after = last + 1;
      }
      if (after > first) found.push_back({groups[first].begin, groups[after - 1].end});
      first = std::max(after, first + 1);
    }
    at = groups.back().end;
  }
}

void find_ibans(std::string_view text, std::vector<Place>& found) {
  for (std::size_t at = 0; at + 4 <= text.size();) {
    const bool begins = is_letter(text[at]) && is_letter(text[at + 1]) && is_digit(text[at + 2]) &&
                        is_digit(text[at + 3]) && (at == 0 || !is_alnum(text[at - 1]));
    const std::size_t end = begins ? iban_end(text, at) : 0;
    if (end > 0) found.push_back({at, end});
    at = end > 0 ? end : at + 1;
  }
}

void find_addresses(std::string_view text, std::vector<Place>& found) {
  for (std::size_t at = 0; at < text.size();) {
    if (!is_of_address(text[at])) {
      ++at;
      continue;
    }
    std::size_t end = at;
    while (end < text.size() && is_of_address(text[end])) ++end;
    if (!add_ipv6(text, {at, end}, found)) add_ipv4(text, {at, end}, found);
    at = end;
  }
}

}  // namespace paring::monitor::detail
