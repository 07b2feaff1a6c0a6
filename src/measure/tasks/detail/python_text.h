// SPDX-License-Identifier: Apache-2.0
// Text operations with the meaning they have in Python, which the definitions of the tasks are
// written in. UTF-8 in and out; ill-formed bytes are kept and count as a character each. Pure
// functions.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace paring::measure {

// str.strip() and str.rstrip(): what Unicode calls white space, and U+001C..U+001F.
std::string_view strip(std::string_view text);
std::string_view strip_end(std::string_view text);
// str.capitalize(): the first character in upper case, the others in lower case. Letters of ASCII,
// Latin-1, Greek and Cyrillic; others stay.
std::string capitalize(std::string_view text);
// The first character in lower case, the others as they are.
std::string lower_first(std::string_view text);
// len(): code points.
std::size_t length(std::string_view text);
std::string replace_all(std::string_view text, std::string_view from, std::string_view to);

}  // namespace paring::measure
