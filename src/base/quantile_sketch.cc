// SPDX-License-Identifier: Apache-2.0
#include "base/quantile_sketch.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/varint.h"

namespace paring {

namespace {

// Bin i holds (gamma^(i-1), gamma^i]; what stands for it is at most kRelativeError from both ends.
constexpr double kGamma =
    (1 + QuantileSketch::kRelativeError) / (1 - QuantileSketch::kRelativeError);

double log_gamma() noexcept {
  static const double value = std::log(kGamma);
  return value;
}

int index_of(double value) noexcept {
  return static_cast<int>(std::ceil(std::log(value) / log_gamma()));
}

double value_of(int index) noexcept {
  return 2 * std::exp(static_cast<double>(index) * log_gamma()) / (kGamma + 1);
}

int index_min() noexcept {
  static const int value = index_of(QuantileSketch::kSmallest);
  return value;
}
int index_max() noexcept {
  static const int value = index_of(QuantileSketch::kLargest);
  return value;
}

Error not_a_sketch() { return corrupt("these bytes are no sketch of quantiles"); }

}  // namespace

std::uint64_t& QuantileSketch::bin(int index) {
  if (bins_.empty()) first_ = index;
  if (index < first_) {
    bins_.insert(bins_.begin(), static_cast<std::size_t>(first_ - index), 0);
    first_ = index;
  }
  const auto place = static_cast<std::size_t>(index - first_);
  if (place >= bins_.size()) bins_.resize(place + 1, 0);
  return bins_[place];
}

void QuantileSketch::add(double value, std::uint64_t times) {
  if (std::isnan(value) || times == 0) return;
  count_ += times;
  if (value < kSmallest) {
    zeros_ += times;
    return;
  }
  bin(index_of(std::min(value, kLargest))) += times;
}

void QuantileSketch::merge(const QuantileSketch& other) {
  count_ += other.count_;
  zeros_ += other.zeros_;
  if (other.bins_.empty()) return;
  // The ends first, so that it grows at most twice.
  bin(other.first_ + static_cast<int>(other.bins_.size()) - 1);
  bin(other.first_);
  const auto shift = static_cast<std::size_t>(other.first_ - first_);
  for (std::size_t i = 0; i < other.bins_.size(); ++i) bins_[shift + i] += other.bins_[i];
}

Result<void> QuantileSketch::merge_encoded(std::span<const std::uint8_t> bytes) {
  QuantileSketch other;
  const auto zeros = take_varint(bytes);
  const auto bins = take_varint(bytes);
  const auto bins_max = static_cast<std::uint64_t>(index_max() - index_min() + 1);
  if (!zeros || !bins || *bins > bins_max) return not_a_sketch();
  other.zeros_ = other.count_ = *zeros;
  std::int64_t index = index_min() - 1;
  for (std::uint64_t i = 0; i < *bins; ++i) {
    const auto step = take_varint(bytes);
    const auto times = take_varint(bytes);
    if (!step || !times || *step == 0 || *step > bins_max || *times == 0) return not_a_sketch();
    index += static_cast<std::int64_t>(*step);
    if (index > index_max()) return not_a_sketch();
    if (*times > std::numeric_limits<std::uint64_t>::max() - other.count_) return not_a_sketch();
    other.count_ += *times;
    other.bin(static_cast<int>(index)) = *times;
  }
  if (!bytes.empty()) return not_a_sketch();
  if (count_ == 0) {
    *this = std::move(other);
  } else {
    merge(other);
  }
  return {};
}

std::optional<double> QuantileSketch::quantile(double q) const {
  PARING_CHECK(q >= 0 && q <= 1, "a quantile lies between 0 and 1");
  if (count_ == 0) return std::nullopt;
  const auto rank = static_cast<std::uint64_t>(q * static_cast<double>(count_ - 1));
  std::uint64_t below = zeros_;
  if (rank < below) return 0.0;
  std::size_t last = 0;
  for (std::size_t i = 0; i < bins_.size(); ++i) {
    if (bins_[i] == 0) continue;
    last = i;
    below += bins_[i];
    if (rank < below) break;
  }
  return value_of(first_ + static_cast<int>(last));
}

std::uint64_t QuantileSketch::count_to(double value) const {
  if (std::isnan(value) || value < 0) return 0;
  std::uint64_t counted = zeros_;
  if (value < kSmallest || bins_.empty()) return counted;
  const int last = index_of(std::min(value, kLargest));
  for (std::size_t i = 0; i < bins_.size() && first_ + static_cast<int>(i) <= last; ++i) {
    counted += bins_[i];
  }
  return counted;
}

std::vector<std::uint8_t> QuantileSketch::encode() const {
  std::vector<std::uint8_t> out;
  append_varint(out, zeros_);
  append_varint(out, bins_.size() - static_cast<std::size_t>(std::ranges::count(bins_, 0U)));
  int before = index_min() - 1;
  for (std::size_t i = 0; i < bins_.size(); ++i) {
    if (bins_[i] == 0) continue;
    const int index = first_ + static_cast<int>(i);
    append_varint(out, static_cast<std::uint64_t>(index - before));
    append_varint(out, bins_[i]);
    before = index;
  }
  return out;
}

bool QuantileSketch::operator==(const QuantileSketch& other) const {
  // Bins that hold nothing do not count.
  return encode() == other.encode();
}

}  // namespace paring
