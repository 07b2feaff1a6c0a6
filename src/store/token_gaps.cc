// SPDX-License-Identifier: Apache-2.0
#include "store/token_gaps.h"

#include "base/varint.h"

namespace paring::store {

// Differences wrap around, so that there is no number that cannot be kept.
std::vector<std::uint8_t> encode_gaps(std::span<const std::int64_t> microseconds) {
  std::vector<std::uint8_t> bytes;
  bytes.reserve(2 * microseconds.size());
  std::uint64_t before = 0;
  for (const std::int64_t gap : microseconds) {
    const auto now = static_cast<std::uint64_t>(gap);
    append_varint(bytes, zigzag(static_cast<std::int64_t>(now - before)));
    before = now;
  }
  return bytes;
}

Result<std::vector<std::int64_t>> decode_gaps(std::span<const std::uint8_t> bytes) {
  std::vector<std::int64_t> gaps;
  std::uint64_t before = 0;
  while (!bytes.empty()) {
    const auto difference = take_varint(bytes);
    if (!difference) return corrupt("these bytes are no times between tokens");
    before += static_cast<std::uint64_t>(unzigzag(*difference));
    gaps.push_back(static_cast<std::int64_t>(before));
  }
  return gaps;
}

}  // namespace paring::store
