// SPDX-License-Identifier: Apache-2.0
#include "shrink/input_factor.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/check.h"
#include "kernels/ops.h"

namespace paring::shrink {

namespace {

constexpr std::size_t kPanel = kernels::kPanelRows;
constexpr std::size_t kSpanStep = 256;

// In place: A (symmetric, lower triangle given, double sums) becomes the rows of FactorBlock.
// Rows are finished from the last to the first; each finished row is subtracted from those above
// it, eight at a time, so that it is read once for all of them. Sums in double: the differences of
// nearly equal numbers decide D.
void factor_in_place(std::vector<float>& rows, std::size_t n) {
  constexpr std::size_t kTogether = 8;
  std::vector<double> open(kTogether * n);
  std::vector<double> diagonal(n);
  for (std::size_t end = n; end > 0;) {
    const std::size_t begin = end > kTogether ? end - kTogether : 0;
    for (std::size_t k = begin; k < end; ++k) {
      double* target = open.data() + (k - begin) * n;
      for (std::size_t j = 0; j <= k; ++j) target[j] = rows[k * n + j];
    }
    // Subtracts finished row m from open row k.
    const auto subtract = [&](std::size_t m, std::size_t k) {
      const float* done = rows.data() + m * n;
      double* target = open.data() + (k - begin) * n;
      const double factor = done[k] * diagonal[m];
      for (std::size_t j = 0; j <= k; ++j) target[j] -= factor * done[j];
    };
    for (std::size_t m = end; m < n; ++m) {
      for (std::size_t k = begin; k < end; ++k) subtract(m, k);
    }
    for (std::size_t k = end; k-- > begin;) {
      double* target = open.data() + (k - begin) * n;
      // Damping keeps the exact value above zero; rounding may not reach below a trace of it.
      diagonal[k] = std::max(target[k], 1e-30);
      for (std::size_t j = 0; j < k; ++j) {
        rows[k * n + j] = static_cast<float>(target[j] / diagonal[k]);
      }
      rows[k * n + k] = static_cast<float>(diagonal[k]);
      for (std::size_t above = begin; above < k; ++above) subtract(k, above);
    }
    end = begin;
  }
}

}  // namespace

InputMoments::InputMoments(std::size_t cols, std::size_t span) : cols_(cols), squares_(cols) {
  for (std::size_t begin = 0; span > 0 && begin < cols; begin += span) {
    const std::size_t size = std::min(span, cols - begin);
    blocks_.push_back({begin, size, std::vector<float>(size * size)});
  }
}

std::size_t InputMoments::bytes(std::size_t cols, std::size_t span) {
  const std::size_t whole = cols / span;
  const std::size_t rest = cols % span;
  return (whole * span * span + rest * rest) * sizeof(float);
}

Result<InputMoments::Scratch> InputMoments::Scratch::create(std::span<const std::size_t> widths,
                                                            std::size_t span, std::size_t tokens) {
  Scratch scratch;
  scratch.tokens_ = tokens;
  if (span == 0) return scratch;
  std::size_t largest = 0;
  for (const std::size_t width : widths) {
    for (const std::size_t size : {std::min(width, span), width % span}) {
      const bool is_known =
          std::any_of(scratch.panels_.begin(), scratch.panels_.end(),
                      [&](const kernels::PackedMatrix& panels) { return panels.rows == size; });
      if (size == 0 || is_known) continue;
      PARING_TRY(kernels::PackedMatrix made, kernels::allocate_packed(DType::kF32, size, tokens));
      scratch.panels_.push_back(std::move(made));
      largest = std::max(largest, size);
    }
  }
  scratch.transposed_.resize(largest * tokens);
  scratch.product_.resize(largest * largest);
  return scratch;
}

kernels::PackedMatrix& InputMoments::Scratch::panels(std::size_t rows) noexcept {
  for (kernels::PackedMatrix& panels : panels_) {
    if (panels.rows == rows) return panels;
  }
  PARING_CHECK(false, "scratch was made for this width");
  return panels_.front();
}

void InputMoments::add(Worker& worker, const float* data, std::size_t rows,
                       Scratch& scratch) noexcept {
  const Range columns = worker.split(cols_);
  for (std::size_t t = 0; t < rows; ++t) {
    const float* row = data + t * cols_;
    for (std::size_t c = columns.begin; c < columns.end; ++c) {
      squares_[c] += static_cast<double>(row[c]) * static_cast<double>(row[c]);
    }
  }
  const std::size_t tokens = scratch.tokens_;
  for (Block& block : blocks_) {
    const std::size_t n = block.size;
    kernels::PackedMatrix& panels = scratch.panels(n);
    auto* codes = reinterpret_cast<float*>(panels.codes.data());
    // A panel holds [token][16 columns]; the other operand is the transposed inputs.
    const Range mine = worker.split(panels.panels());
    for (std::size_t p = mine.begin; p < mine.end; ++p) {
      for (std::size_t t = 0; t < tokens; ++t) {
        for (std::size_t r = 0; r < kPanel; ++r) {
          const std::size_t column = p * kPanel + r;
          const float value =
              t < rows && column < n ? data[t * cols_ + block.begin + column] : 0.0F;
          codes[(p * tokens + t) * kPanel + r] = value;
          if (column < n) scratch.transposed_[column * tokens + t] = value;
        }
      }
    }
    worker.barrier();
    // The lower triangle, panel by panel; panels in turn, as they get shorter.
    for (std::size_t p = worker.index(); p < panels.panels(); p += worker.count()) {
      const std::size_t first = p * kPanel;
      kernels::kernels().matmul_f(panels, scratch.transposed_.data() + first * tokens, tokens,
                                  n - first, scratch.product_.data() + first * n, n, {p, p + 1});
      for (std::size_t j = first; j < n; ++j) {
        const std::size_t end = std::min(first + kPanel, j + 1);
        for (std::size_t i = first; i < end; ++i) {
          block.sums[j * n + i] += scratch.product_[j * n + i];
        }
      }
    }
    worker.barrier();
  }
}

std::vector<float> InputMoments::mean_squares(std::size_t tokens) const {
  std::vector<float> result(cols_);
  for (std::size_t c = 0; c < cols_; ++c) {
    result[c] = static_cast<float>(squares_[c] / static_cast<double>(tokens));
  }
  return result;
}

InputFactor InputMoments::factor(std::size_t tokens, double damping) && {
  InputFactor result;
  for (Block& block : blocks_) {
    const std::size_t n = block.size;
    FactorBlock factor{block.begin, n, {}, std::vector<float>(n * n)};
    std::vector<std::uint32_t> local(n);
    std::iota(local.begin(), local.end(), 0U);
    const auto sum = [&](std::size_t a, std::size_t b) {
      return block.sums[std::max(a, b) * n + std::min(a, b)];
    };
    std::stable_sort(local.begin(), local.end(),
                     [&](std::uint32_t a, std::uint32_t b) { return sum(a, a) > sum(b, b); });
    double mean = 0;
    for (std::size_t i = 0; i < n; ++i) mean += static_cast<double>(sum(i, i));
    mean /= static_cast<double>(n) * static_cast<double>(tokens);
    for (std::size_t k = 0; k < n; ++k) {
      for (std::size_t j = 0; j <= k; ++j) {
        factor.rows[k * n + j] = sum(local[k], local[j]) / static_cast<float>(tokens);
      }
      factor.rows[k * n + k] += static_cast<float>(damping * mean);
    }
    block.sums = {};
    factor_in_place(factor.rows, n);
    for (const std::uint32_t column : local) {
      factor.order.push_back(column + static_cast<std::uint32_t>(block.begin));
    }
    result.blocks.push_back(std::move(factor));
  }
  return result;
}

std::size_t span_within(std::span<const std::size_t> widths, std::uint64_t bytes_max) {
  std::size_t span = kSpanStep;
  const std::size_t widest = widths.empty() ? 0 : *std::max_element(widths.begin(), widths.end());
  for (std::size_t next = 2 * kSpanStep; next < widest + kSpanStep; next += kSpanStep) {
    std::uint64_t bytes = 0;
    for (const std::size_t width : widths) bytes += InputMoments::bytes(width, next);
    if (bytes > bytes_max) break;
    span = next;
  }
  return span;
}

}  // namespace paring::shrink
