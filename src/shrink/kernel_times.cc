// SPDX-License-Identifier: Apache-2.0
#include "shrink/kernel_times.h"

#include <algorithm>
#include <vector>

#include "base/clock.h"
#include "kernels/ops.h"

namespace paring::shrink {

namespace {

// Enough to leave any last-level cache of a desktop or server slice; larger matrices need one copy.
constexpr std::size_t kColdBytes = std::size_t{96} << 20;
constexpr std::size_t kCopiesMax = 512;
constexpr std::size_t kColdTokensMax = 32;
constexpr int kRounds = 3;

}  // namespace

Result<double> KernelTimes::seconds(DType type, const std::byte* encoded, std::size_t rows,
                                    std::size_t cols, std::size_t tokens) {
  const auto key = std::make_tuple(type, rows, cols, tokens);
  if (const auto found = times_.find(key); found != times_.end()) return found->second;

  std::vector<kernels::PackedMatrix> copies;
  std::size_t bytes = 0;
  // Of many tokens the arithmetic decides, wherever the weights are.
  const std::size_t cold_bytes = tokens > kColdTokensMax ? 0 : kColdBytes;
  while (copies.empty() || (bytes < cold_bytes && copies.size() < kCopiesMax)) {
    PARING_TRY(kernels::PackedMatrix packed, kernels::pack(type, encoded, rows, cols));
    bytes += packed.bytes();
    copies.push_back(std::move(packed));
  }
  // Any activations do; these are small, distinct and exact in int8.
  std::vector<float> x(cols * tokens);
  for (std::size_t c = 0; c < x.size(); ++c)
    x[c] = static_cast<float>(static_cast<int>(c % 17) - 8);
  PARING_TRY(AlignedBuffer memory,
             AlignedBuffer::create(kernels::QuantizedRows::bytes(tokens, cols)));
  const kernels::QuantizedRows codes = kernels::QuantizedRows::place(memory.data(), tokens, cols);
  const bool is_block = dtype_info(type).block_values > 1;
  const kernels::KernelTable& table = kernels::kernels();
  if (is_block) table.quantize_rows(x.data(), tokens, cols, cols, codes);
  std::vector<float> y(rows * tokens);

  double best = 0;
  for (int round = 0; round < kRounds; ++round) {
    const double start = system_clock().monotonic_seconds();
    executor_.run([&](Worker& worker) {
      for (const kernels::PackedMatrix& w : copies) {
        const Range panels = worker.split(w.panels());
        if (!panels.empty()) {
          if (is_block) {
            table.matmul_q(w, codes, tokens, y.data(), rows, {panels.begin, panels.end});
          } else {
            table.matmul_f(w, x.data(), cols, tokens, y.data(), rows, {panels.begin, panels.end});
          }
        }
        worker.barrier();
      }
    });
    const double each =
        (system_clock().monotonic_seconds() - start) / static_cast<double>(copies.size());
    best = round == 0 ? each : std::min(best, each);
  }
  times_.emplace(key, best);
  return best;
}

}  // namespace paring::shrink
