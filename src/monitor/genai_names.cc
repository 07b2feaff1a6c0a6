// SPDX-License-Identifier: Apache-2.0
#include "monitor/genai_names.h"

namespace paring::monitor {

std::string_view genai_operation_of(std::string_view route) noexcept {
  const auto ends = [&](std::string_view end) { return route.ends_with(end); };
  if (ends("/chat/completions") || ends("/messages") || ends("/responses") || ends("/api/chat")) {
    return "chat";
  }
  if (ends("/completions") || ends("/api/generate")) return "text_completion";
  if (ends("/embeddings") || ends("/api/embed")) return "embeddings";
  const std::string_view last = route.substr(route.rfind('/') + 1);
  return last.empty() ? "request" : last;
}

}  // namespace paring::monitor
