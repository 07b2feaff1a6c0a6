// SPDX-License-Identifier: Apache-2.0
#include "measure/windows.h"

#include <fmt/format.h>

#include "base/sha256.h"

namespace paring::measure {

Result<Windows> cut_windows(const text::Tokenizer& tokenizer, bool add_bos, std::string name,
                            std::string_view content, const WindowOptions& options) {
  if (options.context < 4 || options.context % 2 != 0) {
    return invalid_argument(fmt::format("a window of {} tokens is not possible", options.context),
                            "use an even number of at least 4, 512 is usual");
  }
  PARING_TRY(const std::vector<std::int32_t> tokens,
             tokenizer.encode(content, {.add_special = true, .parse_special = false}));
  Windows result;
  result.name = std::move(name);
  result.sha256 = sha256_hex(content);
  result.context = options.context;
  const std::size_t available = tokens.size() / options.context;
  for (std::size_t i = options.skip; i < available; i += options.stride) {
    if (options.windows_max != 0 && result.windows.size() == options.windows_max) break;
    const auto begin = tokens.begin() + static_cast<std::ptrdiff_t>(i * options.context);
    std::vector<std::int32_t> window(begin, begin + static_cast<std::ptrdiff_t>(options.context));
    if (add_bos && tokenizer.bos()) window[0] = *tokenizer.bos();
    result.windows.push_back(std::move(window));
  }
  if (result.windows.empty()) {
    return invalid_argument(fmt::format("the text '{}' has {} tokens, fewer than one window of {}",
                                        result.name, tokens.size(), options.context),
                            "use a longer text or a smaller --context");
  }
  return result;
}

}  // namespace paring::measure
