// SPDX-License-Identifier: Apache-2.0
// A JSON object as Metadata, so that config.json is read with the same typed getters, and the same
// errors, as a GGUF header. Stateless.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"
#include "io/metadata.h"

namespace paring::io {

inline constexpr std::size_t kJsonObjectBytesMax = std::size_t{32} << 20;
inline constexpr std::size_t kJsonObjectValuesMax = std::size_t{1} << 20;
inline constexpr std::size_t kJsonPathBytesMax = 4096;

// Values inside objects get dotted keys: {"rope_scaling": {"factor": 8.0}} ->
// "rope_scaling.factor". An array of only integers, only numbers, only booleans or only strings is
// one array; the items of any other get their index as key. Null counts as absent. `source` names
// the file in errors. Corrupt: no JSON object, a key twice, too deep. Exhausted: a limit above.
Result<Metadata> parse_json_object(std::string_view text, const std::string& source);

// The way back: an indented JSON object, keys in order, dots as nesting; an F32 with as few digits
// as tell it from its neighbours. REQUIRES: no key is also the beginning of another's path.
std::string json_object_text(const Metadata& metadata);

}  // namespace paring::io
