// SPDX-License-Identifier: Apache-2.0
// Texts in a plainer spelling, so that what is searched in them is found however it is written:
// digits and letters of full width, dashes and blanks of all kinds, characters that take no place,
// escapes of JSON within a text. Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace paring::monitor::detail {

struct FoldedText {
  std::string text;
  // By byte of `text`: where what stands for it begins and ends in the text that was folded.
  std::vector<std::uint32_t> begins;
  std::vector<std::uint32_t> ends;
};

// Nothing: the text is plain already. REQUIRES: shorter than 4 GiB.
std::optional<FoldedText> fold(std::string_view text);
// The fold of what `before` gave, in places of the first text.
std::optional<FoldedText> fold_again(const FoldedText& before);

}  // namespace paring::monitor::detail
