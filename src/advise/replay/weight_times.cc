// SPDX-License-Identifier: Apache-2.0
#include "advise/replay/weight_times.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <tuple>
#include <utility>

#include "base/random.h"
#include "kernels/packed_matrix.h"
#include "quant/format.h"

namespace paring::advise {

namespace {

double between(const std::vector<double>& at, const std::vector<double>& values, double x) {
  if (values.empty() || x <= 0) return 0;
  if (x >= at.back()) return values.back() * x / at.back();
  const auto above = std::ranges::upper_bound(at, x);
  if (above == at.begin()) return values.front();
  const auto i = static_cast<std::size_t>(above - at.begin());
  const double share = (x - at[i - 1]) / (at[i] - at[i - 1]);
  return values[i - 1] + share * (values[i] - values[i - 1]);
}

// Shapes that occur, and how often.
using Shape = std::tuple<DType, std::size_t, std::size_t>;

}  // namespace

double WeightCurve::seconds(double step_tokens, double logit_rows) const noexcept {
  return between(tokens, all_s, step_tokens) + between(tokens, head_s, logit_rows);
}

StepParts parts_of(const WeightCurve& curve,
                   const std::function<double(double tokens, double rows)>& step_s) {
  constexpr double kDecodingMost = 16;  // larger steps are mostly prompts, with one row of logits
  constexpr double kSlowerMin = 0.7;
  constexpr double kSlowerMax = 4;
  constexpr double kSlowerStep = 0.01;
  // Both explain slow steps; what disturbs a machine slows all of a step down, so that the rest of
  // a step of one token is expected to be about a tenth of its products.
  constexpr double kRestShare = 0.1;
  constexpr double kPrior = 3;
  StepParts best;
  double best_error = -1;
  for (double slower = kSlowerMin; slower <= kSlowerMax; slower += kSlowerStep) {
    // rest and rest_token by weighted least squares on what the products leave.
    double w = 0, wt = 0, wtt = 0, wr = 0, wtr = 0;
    std::vector<std::array<double, 3>> left;  // tokens, what is left, weight
    for (const double tokens : curve.tokens) {
      const double rows = tokens <= kDecodingMost ? tokens : 1;
      const double step = step_s(tokens, rows);
      if (!(step > 0)) continue;
      const double weight = 1 / (step * step);
      const double rest = step - slower * curve.seconds(tokens, rows);
      left.push_back({tokens, rest, weight});
      w += weight;
      wt += weight * tokens;
      wtt += weight * tokens * tokens;
      wr += weight * rest;
      wtr += weight * tokens * rest;
    }
    const double determinant = w * wtt - wt * wt;
    if (left.size() < 2 || !(determinant > 0)) return best;
    StepParts parts{.slower = slower,
                    .rest_s = (wr * wtt - wtr * wt) / determinant,
                    .rest_token_s = (w * wtr - wt * wr) / determinant};
    if (parts.rest_token_s < 0) parts = {slower, std::max(wr / w, 0.0), 0};
    if (parts.rest_s < 0) parts = {slower, 0, std::max(wtr / wtt, 0.0)};
    const double share =
        (parts.rest_s + parts.rest_token_s) / (slower * curve.seconds(1, 1)) - kRestShare;
    double error = kPrior * share * share;
    for (const auto& [tokens, rest, weight] : left) {
      const double miss = rest - parts.rest_s - parts.rest_token_s * tokens;
      error += weight * miss * miss;
    }
    if (best_error < 0 || error < best_error) {
      best_error = error;
      best = parts;
    }
  }
  return best;
}

Result<const std::vector<std::byte>*> WeightTimes::sample(DType type, std::size_t rows,
                                                          std::size_t cols) {
  constexpr std::size_t kDistinctRows = 16;
  PARING_TRY(const quant::Format* const format, quant::require_format(type));
  PARING_TRY(const std::size_t row_bytes, dtype_row_bytes(type, cols));
  std::vector<std::byte>& some = rows_[{type, cols}];
  if (some.empty()) {
    some.resize(kDistinctRows * row_bytes);
    RandomStream random({.seed = 11, .sequence = cols});
    std::vector<float> values(cols);
    for (std::size_t row = 0; row < kDistinctRows; ++row) {
      constexpr double kDeviation = 0.03;
      for (float& value : values) value = static_cast<float>(kDeviation * random.normal());
      format->encode(values.data(), nullptr, some.data() + row * row_bytes, cols);
    }
  }
  matrix_.resize(rows * row_bytes);
  for (std::size_t row = 0; row < rows; ++row) {
    std::memcpy(matrix_.data() + row * row_bytes, some.data() + row % kDistinctRows * row_bytes,
                row_bytes);
  }
  return &matrix_;
}

Result<WeightCurve> WeightTimes::curve(std::span<const model::MatrixSlot> slots,
                                       const shrink::TypeMap& types) {
  std::map<Shape, double> matrices;
  std::map<Shape, double> heads;
  std::map<Shape, double> gathered;
  const bool is_tied = std::ranges::none_of(
      slots, [](const auto& slot) { return slot.id.kind == model::MatrixKind::kHead; });
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const model::MatrixSlot& slot = slots[i];
    if (slot.experts > 0) {
      return unsupported(
          "how long steps of a mixture of experts take with other weights is not "
          "predicted");
    }
    const Shape shape{types[i], slot.rows, slot.cols};
    const bool is_embedding = slot.id.kind == model::MatrixKind::kEmbedding;
    if (slot.id.kind == model::MatrixKind::kHead || (is_embedding && is_tied)) {
      ++heads[shape];
    } else if (is_embedding) {
      ++gathered[shape];
    } else {
      ++matrices[shape];
    }
  }
  WeightCurve curve;
  for (const std::size_t tokens : kTokens) curve.tokens.push_back(static_cast<double>(tokens));
  const auto add = [&](const std::map<Shape, double>& shapes,
                       std::vector<double>* seconds) -> Result<void> {
    if (seconds != nullptr) seconds->assign(curve.tokens.size(), 0);
    for (const auto& [shape, count] : shapes) {
      const auto [type, rows, cols] = shape;
      PARING_TRY(const std::vector<std::byte>* const encoded, sample(type, rows, cols));
      PARING_TRY(const kernels::PackedMatrix packed,
                 kernels::pack(type, encoded->data(), rows, cols));
      curve.packed_bytes += count * static_cast<double>(packed.bytes());
      if (seconds == nullptr) continue;
      for (std::size_t i = 0; i < curve.tokens.size(); ++i) {
        PARING_TRY(const double each,
                   times_.seconds(type, encoded->data(), rows, cols, kTokens[i]));
        (*seconds)[i] += count * each;
      }
    }
    return {};
  };
  PARING_TRY_VOID(add(matrices, &curve.all_s));
  PARING_TRY_VOID(add(heads, &curve.head_s));
  PARING_TRY_VOID(add(gathered, nullptr));
  return curve;
}

}  // namespace paring::advise
