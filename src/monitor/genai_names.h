// SPDX-License-Identifier: Apache-2.0
// Names of attributes that are no single field of a row (genai_names.def), and what OpenTelemetry
// calls the operation of a route. Stateless.
#pragma once

#include <string_view>

namespace paring::monitor {

#define PARING_GENAI_TEXT(field, attribute)
#define PARING_GENAI_COUNT(field, attribute)
#define PARING_GENAI_AMOUNT(field, attribute)
#define PARING_GENAI_SECONDS(field, attribute)
#define PARING_GENAI_OTHER(name, attribute) inline constexpr std::string_view name = attribute;
#include "monitor/genai_names.def"
#undef PARING_GENAI_TEXT
#undef PARING_GENAI_COUNT
#undef PARING_GENAI_AMOUNT
#undef PARING_GENAI_SECONDS
#undef PARING_GENAI_OTHER

// "chat", "text_completion", "embeddings"; for others the last part of the path.
std::string_view genai_operation_of(std::string_view route) noexcept;

}  // namespace paring::monitor
