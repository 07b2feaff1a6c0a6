// SPDX-License-Identifier: Apache-2.0
#include "improve/dataset/split.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "base/sha256.h"
#include "base/text.h"

namespace paring::improve {

namespace {

constexpr double kSumTolerance = 1e-9;
constexpr std::size_t kNameBytesMax = 32;
constexpr const char* kSplitHint = "write it like train=0.9,test=0.1";

bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= kNameBytesMax && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
  }) && name != "sources";  // of the folder's own
}

}  // namespace

Result<std::vector<Share>> parse_split(const std::string& text) {
  std::vector<Share> split;
  double sum = 0;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    const std::string_view item = std::string_view(text).substr(at, end - at);
    at = end + 1;
    const std::size_t equals = item.find('=');
    Share part{std::string(item.substr(0, equals)), 0};
    const char* const stop = item.data() + item.size();
    const bool has_share = equals != std::string_view::npos;
    const auto [read, error] =
        has_share ? std::from_chars(item.data() + equals + 1, stop, part.share)
                  : std::from_chars_result{item.data(), std::errc::invalid_argument};
    if (!is_name(part.name) || error != std::errc() || read != stop || !(part.share > 0) ||
        part.share > 1) {
      return invalid_argument(
          fmt::format("'{}' is no part of a split: a name of letters a-z and digits, '=', and a "
                      "share above 0, up to 1",
                      escape_control(item)),
          kSplitHint);
    }
    if (std::ranges::any_of(split, [&](const Share& each) { return each.name == part.name; })) {
      return invalid_argument(fmt::format("the split names '{}' twice", part.name), kSplitHint);
    }
    sum += part.share;
    split.push_back(std::move(part));
    if (split.size() > kPartsMax) {
      return invalid_argument(fmt::format("a split has at most {} parts", kPartsMax), kSplitHint);
    }
  }
  if (std::abs(sum - 1) > kSumTolerance) {
    return invalid_argument(fmt::format("the shares of the split add up to {}, not to 1", sum),
                            kSplitHint);
  }
  return split;
}

double place_of(std::string_view key) {
  Sha256 hash;
  hash.update(key);
  const Sha256Digest digest = hash.finish();
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < 7; ++i) bits = (bits << 8U) | digest[i];
  return static_cast<double>(bits >> 3U) * 0x1p-53;
}

std::size_t part_at(const std::vector<Share>& split, double place) {
  double end = 0;
  for (std::size_t i = 0; i + 1 < split.size(); ++i) {
    end += split[i].share;
    if (place < end) return i;
  }
  return split.size() - 1;
}

std::size_t Groups::add() {
  parents_.push_back(parents_.size());
  return parents_.size() - 1;
}

std::size_t Groups::set_of(std::size_t example) {
  while (parents_[example] != example) {
    parents_[example] = parents_[parents_[example]];
    example = parents_[example];
  }
  return example;
}

void Groups::unite(std::size_t a, std::size_t b) {
  a = set_of(a);
  b = set_of(b);
  // The lower number stays, so that the order of calls does not matter to who is asked.
  parents_[std::max(a, b)] = std::min(a, b);
}

void Groups::unite_by(const std::string& key, std::size_t example) {
  const auto [found, is_new] = by_key_.emplace(key, example);
  if (!is_new) unite(found->second, example);
}

}  // namespace paring::improve
