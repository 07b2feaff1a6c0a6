// SPDX-License-Identifier: Apache-2.0
#include "serve/model_memory.h"

#include <algorithm>

#include "base/cgroup.h"
#include "base/process.h"

namespace paring::serve {

namespace {

std::uint64_t minus(std::uint64_t left, std::uint64_t right) noexcept {
  return left - std::min(left, right);
}

}  // namespace

MemoryNow memory_now() {
  MemoryNow now;
  now.available_bytes = available_memory();
  now.limit_bytes = total_memory();
  if (const auto group = cgroup_memory("")) {
    now.limit_bytes = std::min(now.limit_bytes.value_or(group->limit_bytes), group->limit_bytes);
  }
  if (const auto process = process_memory()) now.resident_bytes = process->resident_bytes;
  return now;
}

std::optional<std::uint64_t> free_for_models(const MemoryNow& now, const MemoryAccount& account,
                                             std::uint64_t leaving_bytes) {
  std::optional<std::uint64_t> free;
  if (account.budget_bytes > 0) {
    free = minus(account.budget_bytes, minus(account.committed_bytes, leaving_bytes));
  }
  if (!now.available_bytes) return free;
  const std::uint64_t touched = minus(now.resident_bytes, account.base_bytes);
  const std::uint64_t untouched = minus(account.committed_bytes, touched);
  const std::uint64_t left = minus(*now.available_bytes + leaving_bytes, untouched);
  return free ? std::min(*free, left) : left;
}

std::optional<std::uint64_t> limit_for_models(const MemoryNow& now, const MemoryAccount& account) {
  if (account.budget_bytes == 0) return now.limit_bytes;
  return std::min(account.budget_bytes, now.limit_bytes.value_or(account.budget_bytes));
}

}  // namespace paring::serve
