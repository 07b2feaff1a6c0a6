// SPDX-License-Identifier: Apache-2.0
// How deep JSON is nested, before it is made into a tree: what walks trees walks them by recursion.
// Stateless.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace paring::improve::detail {

// As a store keeps it (monitor::ContentFilter::kDepthMax), and some more.
inline constexpr std::size_t kJsonDepthMax = 256;

// Brackets open at a time, those in strings aside. Of text that is no JSON any number.
inline std::size_t json_depth(std::string_view text) noexcept {
  std::size_t depth = 0, most = 0;
  bool is_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (is_string) {
      if (c == '\\') ++i;
      if (c == '"') is_string = false;
    } else if (c == '"') {
      is_string = true;
    } else if (c == '[' || c == '{') {
      most = std::max(most, ++depth);
    } else if ((c == ']' || c == '}') && depth > 0) {
      --depth;
    }
  }
  return most;
}

}  // namespace paring::improve::detail
