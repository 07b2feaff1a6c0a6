// SPDX-License-Identifier: Apache-2.0
// Base64 (RFC 4648, section 4), as tokenizer.json holds binary tables. Stateless, any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace paring::text {

// Nothing when `text` is not padded base64.
std::optional<std::string> base64_decoded(std::string_view text);
std::string base64_encoded(std::string_view bytes);

}  // namespace paring::text
