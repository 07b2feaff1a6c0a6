// SPDX-License-Identifier: Apache-2.0
#include "measure/windows.h"

#include <fmt/format.h>

#include "base/sha256.h"

namespace paring::measure {

const char* protocol_name(Protocol protocol) noexcept {
  return protocol == Protocol::kPapers ? "papers" : "llama.cpp";
}

const char* protocol_description(Protocol protocol) noexcept {
  return protocol == Protocol::kPapers
             ? "lines joined by blank lines, windows of the whole text, every token of each but "
               "its first is scored"
             : "windows of the whole text, the second half of each is scored";
}

std::string join_rows(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n\f\v";
  std::string joined;
  joined.reserve(text.size() + text.size() / 8);
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t newline = text.find('\n', begin);
    const std::size_t end = newline == std::string_view::npos ? text.size() : newline + 1;
    const std::string_view row = text.substr(begin, end - begin);
    if (begin != 0) joined += "\n\n";
    if (row.find_first_not_of(kBlank) != std::string_view::npos) joined += row;
    begin = end;
  }
  return joined;
}

Windows Windows::part(std::size_t first, std::size_t count) const {
  Windows result;
  result.protocol = protocol;
  result.name = name;
  result.sha256 = sha256;
  result.context = context;
  const auto begin = windows.begin() + static_cast<std::ptrdiff_t>(first);
  result.windows.assign(begin, begin + static_cast<std::ptrdiff_t>(count));
  return result;
}

Result<Windows> cut_windows(const text::Tokenizer& tokenizer, bool add_bos, std::string name,
                            std::string_view content, const WindowOptions& options) {
  const bool is_papers = options.protocol == Protocol::kPapers;
  if (options.context < 4 || (!is_papers && options.context % 2 != 0)) {
    return invalid_argument(fmt::format("a window of {} tokens is not possible in the {} protocol",
                                        options.context, protocol_name(options.protocol)),
                            fmt::format("use an even number of at least 4, {} is usual",
                                        default_context(options.protocol)));
  }
  PARING_TRY(const std::vector<std::int32_t> tokens,
             tokenizer.encode(is_papers ? join_rows(content) : std::string(content),
                              {.add_special = true, .parse_special = false}));
  Windows result;
  result.protocol = options.protocol;
  result.name = std::move(name);
  result.sha256 = sha256_hex(content);
  result.context = options.context;
  const std::size_t available = tokens.size() / options.context;
  for (std::size_t i = options.skip; i < available; i += options.stride) {
    if (options.windows_max != 0 && result.windows.size() == options.windows_max) break;
    const auto begin = tokens.begin() + static_cast<std::ptrdiff_t>(i * options.context);
    std::vector<std::int32_t> window(begin, begin + static_cast<std::ptrdiff_t>(options.context));
    if (!is_papers && add_bos && tokenizer.bos()) window[0] = *tokenizer.bos();
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
