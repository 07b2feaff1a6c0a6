// SPDX-License-Identifier: Apache-2.0
#include "shrink/feedback.h"

#include <algorithm>
#include <cstring>

namespace paring::shrink {

namespace {

constexpr std::size_t kRows = kFeedbackRows;
constexpr std::size_t kGroupMin = 16;  // columns of the smallest group of any type
using Lanes = float __attribute__((vector_size(4 * kRows)));
using Masks = std::int32_t __attribute__((vector_size(4 * kRows)));

// References, not values: vectors wider than the baseline's registers are no parameters.
void load(const float* source, Lanes& target) noexcept {
  std::memcpy(&target, source, sizeof(target));
}
void store(const Lanes& source, float* target) noexcept {
  std::memcpy(target, &source, sizeof(source));
}

// sum_{j<k} e_j U_jk
void feedback(const float* ordered, const float* factors, std::size_t k, Lanes& sum) noexcept {
  Lanes first{};
  Lanes second{};
  Lanes error;
  std::size_t j = 0;
  for (; j + 2 <= k; j += 2) {
    load(ordered + j * kRows, error);
    first += error * factors[j];
    load(ordered + (j + 1) * kRows, error);
    second += error * factors[j + 1];
  }
  if (j < k) {
    load(ordered + j * kRows, error);
    first += error * factors[j];
  }
  sum = first + second;
}

// Nearest level to each wanted value, as code and as value; a group with scale 0 has one value.
void choose(const Grid& grid, const Lanes& wanted, const Lanes& scale, const Lanes& offset,
            Lanes& code, Lanes& value) noexcept {
  const Masks is_flat = scale == 0.0F;
  const Lanes position = (wanted - offset) / (is_flat ? scale + 1.0F : scale);
  if (grid.levels == nullptr) {
    constexpr float kRound = 0x1.8p23F;  // the sum has no bits left for a fraction
    const Lanes low = Lanes{} + static_cast<float>(grid.lowest);
    const Lanes high = Lanes{} + static_cast<float>(grid.highest);
    Lanes inside = position < low ? low : position;
    inside = inside > high ? high : inside;
    code = (inside + kRound) - kRound;
    code = is_flat ? Lanes{} : code;
    value = scale * code + offset;
    return;
  }
  code = Lanes{} + static_cast<float>(grid.lowest);
  Lanes level = Lanes{} + static_cast<float>(grid.levels[0]);
  for (int c = grid.lowest + 1; c <= grid.highest; ++c) {
    const float below = grid.levels[c - 1 - grid.lowest];
    const float here = grid.levels[c - grid.lowest];
    const Masks is_above = position > 0.5F * (below + here);
    code = is_above ? Lanes{} + static_cast<float>(c) : code;
    level = is_above ? Lanes{} + here : level;
  }
  value = scale * level + offset;
}

}  // namespace

FeedbackTile::FeedbackTile(std::size_t cols)
    : cols_(cols),
      values_(cols * kRows),
      errors_(cols * kRows),
      ordered_(cols * kRows),
      codes_(cols * kRows),
      scales_((cols / kGroupMin + 1) * kRows),
      offsets_((cols / kGroupMin + 1) * kRows),
      row_scales_(cols / kGroupMin + 1),
      row_offsets_(cols / kGroupMin + 1),
      row_codes_(cols) {}

void FeedbackTile::set_row(std::size_t lane, const float* values, const float* decoded) noexcept {
  for (std::size_t c = 0; c < cols_; ++c) {
    values_[c * kRows + lane] = values[c];
    errors_[c * kRows + lane] = values[c] - decoded[c];
  }
}

void FeedbackTile::clear() noexcept {
  std::fill(values_.begin(), values_.end(), 0.0F);
  std::fill(errors_.begin(), errors_.end(), 0.0F);
}

void FeedbackTile::run(const InputFactor& factor, const Grid* grid, double* losses) noexcept {
  std::fill_n(losses, kRows, 0.0);
  Lanes fed_back;
  Lanes value;
  Lanes error;
  Lanes scale;
  Lanes offset;
  Lanes code;
  Lanes decoded;
  for (const FactorBlock& block : factor.blocks) {
    for (std::size_t k = 0; k < block.size; ++k) {
      const std::size_t column = block.order[k];
      const float* factors = block.row(k);
      feedback(ordered_.data(), factors, k, fed_back);
      if (grid != nullptr) {
        load(values_.data() + column * kRows, value);
        load(scales_.data() + column / grid->group * kRows, scale);
        load(offsets_.data() + column / grid->group * kRows, offset);
        choose(*grid, value + fed_back, scale, offset, code, decoded);
        store(code, codes_.data() + column * kRows);
        error = value - decoded;
        store(error, errors_.data() + column * kRows);
      } else {
        load(errors_.data() + column * kRows, error);
      }
      store(error, ordered_.data() + k * kRows);
      const Lanes rest = error + fed_back;
      const auto weight = static_cast<double>(factors[k]);
      for (std::size_t lane = 0; lane < kRows; ++lane) {
        losses[lane] += weight * static_cast<double>(rest[lane]) * static_cast<double>(rest[lane]);
      }
    }
  }
}

void FeedbackTile::loss(const InputFactor& factor, double* losses) noexcept {
  run(factor, nullptr, losses);
}

void FeedbackTile::round(const InputFactor& factor, const Grid& grid, std::byte* const* rows,
                         double* losses) noexcept {
  const std::size_t groups = cols_ / grid.group;
  for (std::size_t lane = 0; lane < kRows; ++lane) {
    if (rows[lane] != nullptr) {
      grid.read(rows[lane], cols_, row_scales_.data(), row_offsets_.data());
    }
    for (std::size_t g = 0; g < groups; ++g) {
      scales_[g * kRows + lane] = rows[lane] == nullptr ? 0.0F : row_scales_[g];
      offsets_[g * kRows + lane] = rows[lane] == nullptr ? 0.0F : row_offsets_[g];
    }
  }
  run(factor, &grid, losses);
  for (std::size_t lane = 0; lane < kRows; ++lane) {
    if (rows[lane] == nullptr) continue;
    for (std::size_t c = 0; c < cols_; ++c) {
      row_codes_[c] = static_cast<std::int8_t>(codes_[c * kRows + lane]);
    }
    grid.write(row_codes_.data(), cols_, rows[lane]);
  }
}

}  // namespace paring::shrink
