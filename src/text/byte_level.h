// SPDX-License-Identifier: Apache-2.0
// The byte-level alphabet of GPT-2's vocabularies: each byte is written as one printable character,
// so that tokens are readable text. Stateless, any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace paring::text {

// The bytes that a token spells; nothing when it holds a character outside the alphabet.
std::optional<std::string> byte_level_decoded(std::string_view token);
// How a vocabulary spells these bytes.
std::string byte_level_encoded(std::string_view bytes);

}  // namespace paring::text
