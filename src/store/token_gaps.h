// SPDX-License-Identifier: Apache-2.0
// The times between the tokens of an answer in one or two bytes each, so that percentiles over many
// answers are those of the tokens: whole microseconds, each as a varint of its difference to the
// one before. Thread-safe.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"

namespace paring::store {

std::vector<std::uint8_t> encode_gaps(std::span<const std::int64_t> microseconds);
// Corrupt: not what encode_gaps() gives.
Result<std::vector<std::int64_t>> decode_gaps(std::span<const std::uint8_t> bytes);

}  // namespace paring::store
