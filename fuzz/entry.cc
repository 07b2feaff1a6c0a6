// SPDX-License-Identifier: Apache-2.0
// libFuzzer's entry to the target that the program is named after (PARING_FUZZ_TARGET).
#include <cstdint>

#include "base/check.h"
#include "targets.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const paring::fuzz::Target* const target = paring::fuzz::find_target(PARING_FUZZ_TARGET);
  PARING_CHECK(target != nullptr, "no target " PARING_FUZZ_TARGET);
  target->run({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
