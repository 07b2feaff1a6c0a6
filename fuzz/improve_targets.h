// SPDX-License-Identifier: Apache-2.0
// What models and their users wrote, when it is judged and made into datasets.
#pragma once

#include <cstddef>
#include <span>

namespace paring::fuzz {

// A prompt and an answer as a store keeps them, a line each.
void run_exchange(std::span<const std::byte> input);
// A schema and a value, a line each.
void run_json_schema(std::span<const std::byte> input);

}  // namespace paring::fuzz
