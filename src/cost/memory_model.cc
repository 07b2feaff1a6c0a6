// SPDX-License-Identifier: Apache-2.0
#include "cost/memory_model.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "base/process.h"
#include "base/text.h"

namespace paring::cost {
namespace {

constexpr const char* kHint =
    "free memory, or use a smaller or more strongly quantized model or a shorter context";

}  // namespace

double kv_bytes_per_token(const KvShape& shape) noexcept {
  const auto page = static_cast<double>(kernels::kv_page_bytes(shape.type, shape.head_width));
  return page / static_cast<double>(kernels::kPageTokens) *
         static_cast<double>(shape.layers * shape.kv_heads);
}

std::uint64_t kv_bytes(const KvShape& shape, std::size_t tokens) noexcept {
  const auto pages = [](std::size_t count) {
    return std::uint64_t{(count + kernels::kPageTokens - 1) / kernels::kPageTokens};
  };
  // A window that begins within a page touches one page more.
  const std::uint64_t kept = std::min(pages(tokens), pages(shape.window) + 1);
  const std::uint64_t layer_pages =
      (shape.layers - shape.windowed_layers) * pages(tokens) + shape.windowed_layers * kept;
  return layer_pages * shape.kv_heads * kernels::kv_page_bytes(shape.type, shape.head_width);
}

std::uint64_t weight_bytes(double parameters, DType type) noexcept {
  return static_cast<std::uint64_t>(
      std::ceil(parameters * dtype_info(type).bits_per_weight() / 8.0));
}

Result<void> check_memory(std::uint64_t required_bytes, std::uint64_t available_bytes) {
  if (required_bytes <= available_bytes) return {};
  return exhausted(fmt::format("{} of memory are needed, {} are available",
                               format_bytes(required_bytes), format_bytes(available_bytes)),
                   kHint);
}

Result<void> check_memory(std::uint64_t required_bytes) {
  const auto available = available_memory();
  if (!available) return {};
  return check_memory(required_bytes, *available);
}

Result<void> check_memory(const MemoryNeed& need) {
  Result<void> result = check_memory(need.total());
  if (!result) {
    result.error().message += fmt::format(
        " (weights {}, key/value cache {}, buffers {})", format_bytes(need.weight_bytes),
        format_bytes(need.kv_bytes), format_bytes(need.buffer_bytes));
  }
  return result;
}

}  // namespace paring::cost
