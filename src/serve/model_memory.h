// SPDX-License-Identifier: Apache-2.0
// Whether another model fits: what is promised to those that are loaded, against what the machine,
// the control group and the operator allow. Pure but for memory_now().
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

namespace paring::serve {

// As the system tells it.
struct MemoryNow {
  std::optional<std::uint64_t> available_bytes;  // that can be had; absent: not told
  std::optional<std::uint64_t> limit_bytes;      // of the machine or the control group
  std::uint64_t resident_bytes = 0;              // of this process
};
using MemoryProbe = std::function<MemoryNow()>;
MemoryNow memory_now();

// What the models of this process may take, all of them together.
struct MemoryAccount {
  std::uint64_t budget_bytes = 0;     // of the operator; 0: what the machine leaves
  std::uint64_t committed_bytes = 0;  // predicted for the models that are loaded
  std::uint64_t base_bytes = 0;       // resident before any was
};

// Bytes for one more model; nullopt when nothing bounds them. Caches of keys and values are
// promised to a model before their pages are touched: what is not resident yet is not free.
// `leaving_bytes`: promised to models that would be gone then.
std::optional<std::uint64_t> free_for_models(const MemoryNow& now, const MemoryAccount& account,
                                             std::uint64_t leaving_bytes = 0);
// What bounds the models together: the budget, or else what the system allows this process.
std::optional<std::uint64_t> limit_for_models(const MemoryNow& now, const MemoryAccount& account);

}  // namespace paring::serve
