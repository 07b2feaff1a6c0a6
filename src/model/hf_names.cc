// SPDX-License-Identifier: Apache-2.0
#include "model/hf_names.h"

#include <algorithm>
#include <charconv>
#include <system_error>

namespace paring::model {

NumberedName split_numbers(const std::string& name) {
  NumberedName split;
  for (std::size_t begin = 0; begin <= name.size();) {
    const std::size_t end = std::min(name.find('.', begin), name.size());
    std::size_t number = 0;
    const auto read = std::from_chars(name.data() + begin, name.data() + end, number);
    const bool is_number = read.ec == std::errc() && read.ptr == name.data() + end &&
                           std::to_string(number).size() == end - begin;
    if (begin > 0) split.pattern += '.';
    if (is_number && !split.expert) {
      (split.layer ? split.expert : split.layer) = number;
      split.pattern += "{}";
    } else {
      split.pattern.append(name, begin, end - begin);
    }
    begin = end + 1;
  }
  return split;
}

}  // namespace paring::model
