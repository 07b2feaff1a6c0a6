// SPDX-License-Identifier: Apache-2.0
// Takes secrets out of text that will be written down. Log lines pass through it, error messages
// and audit rows should. It knows API keys and tokens by their first letters (pk-, sk-, hf_, JSON
// Web Tokens) and values by the name before them (Authorization, api_key, password). Thread-safe.
#pragma once

#include <string>
#include <string_view>

namespace paring {

// What stands for a secret.
inline constexpr std::string_view kRedacted = "[redacted]";

// `text` with each secret replaced. Everything else stays, byte for byte.
std::string redact(std::string_view text);

}  // namespace paring
