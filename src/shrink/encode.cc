// SPDX-License-Identifier: Apache-2.0
#include "shrink/encode.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "quant/format.h"
#include "shrink/feedback.h"
#include "shrink/grid.h"

namespace paring::shrink {

namespace {

struct Source {
  const quant::Format* format;
  io::TensorBytes bytes;
  const std::byte* data;
  std::size_t rows;
  std::size_t cols;
  std::uint64_t row_bytes;
};

Result<Source> open_source(const io::ModelFile& file, const std::string& name) {
  const io::TensorInfo* info = file.find(name);
  PARING_CHECK(info != nullptr, "a loaded model's tensor is in its file");
  PARING_TRY(const quant::Format* format, quant::require_format(info->type));
  PARING_TRY(const std::uint64_t row_bytes, dtype_row_bytes(info->type, info->columns()));
  io::TensorBytes bytes = file.data(*info);
  const std::byte* data = bytes.data();
  return Source{format,
                std::move(bytes),
                data,
                static_cast<std::size_t>(info->rows()),
                static_cast<std::size_t>(info->columns()),
                row_bytes};
}

void check_importance(const Source& source, const Inputs& inputs) {
  if (inputs.importance.empty()) return;
  const std::size_t experts = inputs.importance.size() / source.cols;
  PARING_CHECK(inputs.importance.size() == experts * source.cols && experts > 0 &&
                   source.rows % experts == 0 && (experts == 1 || inputs.factor == nullptr),
               "one importance a column of each expert");
}

bool is_finite(const std::vector<float>& row) {
  return std::all_of(row.begin(), row.end(), [](float v) { return std::isfinite(v); });
}

Error not_finite(const std::string& name, std::size_t row) {
  return corrupt(fmt::format("tensor '{}' holds a value that is not finite in row {}", name, row),
                 "the original model is damaged");
}

constexpr float kHalfMax = 65504.0F;

float largest(const std::vector<float>& row) noexcept {
  float most = 0;
  for (const float value : row) most = std::max(most, std::abs(value));
  return most;
}

// Whether `decoded` lost what `row` holds: F16 ends at 65504, and so do the scales of the block
// types. Encoders end a scale at F16's largest value, so that what is too large shrinks.
bool is_beyond(const std::vector<float>& row, const std::vector<float>& decoded) noexcept {
  if (!is_finite(decoded)) return true;
  const float before = largest(row);
  return before > kHalfMax && largest(decoded) < before / 2;
}

Error too_large(const std::string& name, std::size_t row, DType type) {
  return unsupported(fmt::format("tensor '{}' holds a value in row {} that is too large for {}",
                                 name, row, dtype_name(type)),
                     "choose a type with a larger range, such as BF16 or F32");
}

std::size_t differing(const std::byte* a, const std::byte* b, std::size_t count) {
  std::size_t sum = 0;
  for (std::size_t i = 0; i < count; ++i) sum += a[i] != b[i] ? 1 : 0;
  return sum;
}

// What a tile of rows gave; indexed by row of the tile.
struct TileOutcome {
  double energy[kFeedbackRows] = {};
  double nearest[kFeedbackRows] = {};
  double feedback[kFeedbackRows] = {};
  std::size_t changed_by_feedback[kFeedbackRows] = {};
  std::size_t changed_by_importance[kFeedbackRows] = {};
  std::size_t bad_row = SIZE_MAX;    // first row that is not finite
  std::size_t large_row = SIZE_MAX;  // first row with a value beyond the type's range
};

// Encodes up to kFeedbackRows rows at a time. One a worker; all buffers are made beforehand, since
// a job on the executor must not throw.
class TileEncoder {
 public:
  TileEncoder(const Source& source, const quant::Format& format, std::size_t row_bytes,
              const Inputs& inputs)
      : source_(source),
        format_(format),
        row_bytes_(row_bytes),
        inputs_(inputs),
        grid_(inputs.factor == nullptr ? nullptr : find_grid(format.type)),
        tile_(inputs.factor == nullptr ? 0 : source.cols),
        values_(source.cols),
        decoded_(source.cols),
        other_(row_bytes * kFeedbackRows) {
    if (grid_ == nullptr || inputs.importance.empty()) return;
    // With feedback the loss is sum D_k r_k^2 over what rounding leaves of each column, so D is
    // what the search for scales has to weigh by, not the mean square.
    weights_.resize(source.cols);
    for (const FactorBlock& block : inputs.factor->blocks) {
      for (std::size_t k = 0; k < block.size; ++k) weights_[block.order[k]] = block.row(k)[k];
    }
  }

  // Rows first, first + step, ... to `target`, `rows` of them.
  void run(std::size_t first, std::size_t step, std::size_t rows, Rounding rounding,
           bool compares_plain, bool with_energy, std::byte* target,
           TileOutcome& outcome) noexcept {
    if (with_energy) measure_energy(first, step, rows, outcome.energy);
    tile_.clear();
    std::byte* pointers[kFeedbackRows] = {};
    for (std::size_t lane = 0; lane < rows; ++lane) {
      const std::size_t row = first + lane * step;
      pointers[lane] = target + lane * row_bytes_;
      load_row(row);
      if (!is_finite(values_)) {
        outcome.bad_row = row;
        return;
      }
      encode_row(row, pointers[lane], compares_plain, outcome.changed_by_importance[lane]);
      format_.decode(pointers[lane], decoded_.data(), source_.cols);
      if (is_beyond(values_, decoded_)) {
        outcome.large_row = row;
        return;
      }
      if (inputs_.factor != nullptr) {
        tile_.set_row(lane, values_.data(), decoded_.data());
      } else {
        outcome.nearest[lane] = weighted_error(row, decoded_);
      }
    }
    if (inputs_.factor != nullptr) tile_.loss(*inputs_.factor, outcome.nearest);
    std::copy_n(outcome.nearest, kFeedbackRows, outcome.feedback);
    if (rounding != Rounding::kFeedback || grid_ == nullptr) return;
    std::memcpy(other_.data(), target, rows * row_bytes_);
    for (std::size_t lane = 0; !weights_.empty() && lane < rows; ++lane) {
      load_row(first + lane * step);
      format_.encode(values_.data(), weights_.data(), pointers[lane], source_.cols);
    }
    tile_.round(*inputs_.factor, *grid_, pointers, outcome.feedback);
    for (std::size_t lane = 0; lane < rows; ++lane) {
      outcome.changed_by_feedback[lane] =
          differing(pointers[lane], other_.data() + lane * row_bytes_, row_bytes_);
    }
  }

 private:
  void load_row(std::size_t row) noexcept {
    source_.format->decode(source_.data + row * source_.row_bytes, values_.data(), source_.cols);
  }

  // Weights of the columns for row `row`; null where none are known.
  const float* importance_of(std::size_t row) const noexcept {
    if (inputs_.importance.empty()) return nullptr;
    const std::size_t experts = inputs_.importance.size() / source_.cols;
    return inputs_.importance.data() + row / (source_.rows / experts) * source_.cols;
  }

  void encode_row(std::size_t row, std::byte* target, bool compares_plain,
                  std::size_t& changed) noexcept {
    const float* importance = importance_of(row);
    format_.encode(values_.data(), importance, target, source_.cols);
    if (!compares_plain) return;
    format_.encode(values_.data(), nullptr, other_.data(), source_.cols);
    changed = differing(target, other_.data(), row_bytes_);
  }

  void measure_energy(std::size_t first, std::size_t step, std::size_t rows,
                      double* energy) noexcept {
    std::fill(decoded_.begin(), decoded_.end(), 0.0F);
    tile_.clear();
    for (std::size_t lane = 0; lane < rows; ++lane) {
      load_row(first + lane * step);
      if (inputs_.factor != nullptr) {
        tile_.set_row(lane, values_.data(), decoded_.data());
      } else {
        energy[lane] = weighted_error(first + lane * step, decoded_);
      }
    }
    if (inputs_.factor != nullptr) tile_.loss(*inputs_.factor, energy);
  }

  double weighted_error(std::size_t row, const std::vector<float>& decoded) const noexcept {
    const float* importance = importance_of(row);
    double sum = 0;
    for (std::size_t c = 0; c < source_.cols; ++c) {
      const double difference = static_cast<double>(values_[c]) - decoded[c];
      sum += (importance == nullptr ? 1.0 : importance[c]) * difference * difference;
    }
    return sum;
  }

  const Source& source_;
  const quant::Format& format_;
  std::size_t row_bytes_;
  const Inputs& inputs_;
  const Grid* grid_;
  FeedbackTile tile_;
  std::vector<float> values_;
  std::vector<float> decoded_;
  std::vector<float> weights_;  // of columns, for scales under feedback
  std::vector<std::byte> other_;
};

// Totals over rows, added in row order: the same for any number of workers.
struct Totals {
  double energy = 0;
  double nearest = 0;
  double feedback = 0;
  double changed_by_feedback = 0;
  double changed_by_importance = 0;
  std::size_t large_row = SIZE_MAX;  // first row beyond the type's range; sums are without it
};

struct RowPlan {
  std::size_t step;
  std::size_t count;
  Rounding rounding;
  bool compares_plain;  // counts what importance changes
  bool with_energy;
};

// Encodes `plan.count` rows into `target`; when it holds fewer rows than that, every worker writes
// to a tile of its own, of which there are `target` / tile.
Result<Totals> encode_rows(const Source& source, const std::string& name,
                           const quant::Format& format, std::size_t row_bytes, const Inputs& inputs,
                           const RowPlan& plan, std::byte* target, Executor& executor) {
  const std::size_t tiles = (plan.count + kFeedbackRows - 1) / kFeedbackRows;
  std::vector<TileOutcome> outcomes(tiles);
  std::vector<TileEncoder> encoders;
  for (std::size_t i = 0; i < executor.threads(); ++i) {
    encoders.emplace_back(source, format, row_bytes, inputs);
  }
  std::vector<std::byte> own(target == nullptr ? executor.threads() * kFeedbackRows * row_bytes
                                               : 0);
  executor.run([&](Worker& worker) {
    const Range mine = worker.split(tiles);
    for (std::size_t t = mine.begin; t < mine.end; ++t) {
      const std::size_t first = t * kFeedbackRows;
      std::byte* to = target == nullptr ? own.data() + worker.index() * kFeedbackRows * row_bytes
                                        : target + first * row_bytes;
      encoders[worker.index()].run(first * plan.step, plan.step,
                                   std::min(kFeedbackRows, plan.count - first), plan.rounding,
                                   plan.compares_plain, plan.with_energy, to, outcomes[t]);
    }
  });
  Totals totals;
  for (const TileOutcome& outcome : outcomes) {
    if (outcome.bad_row != SIZE_MAX) return not_finite(name, outcome.bad_row);
    totals.large_row = std::min(totals.large_row, outcome.large_row);
    for (std::size_t lane = 0; lane < kFeedbackRows; ++lane) {
      totals.energy += outcome.energy[lane];
      totals.nearest += outcome.nearest[lane];
      totals.feedback += outcome.feedback[lane];
      totals.changed_by_feedback += static_cast<double>(outcome.changed_by_feedback[lane]);
      totals.changed_by_importance += static_cast<double>(outcome.changed_by_importance[lane]);
    }
  }
  return totals;
}

// Whether `format` cannot hold the row with the largest value of the matrix. Sampled rows may miss
// it, so all are read.
bool is_beyond_range(const Source& source, const quant::Format& format, std::size_t row_bytes,
                     std::size_t largest_row) {
  std::vector<float> values(source.cols);
  source.format->decode(source.data + largest_row * source.row_bytes, values.data(), source.cols);
  if (!(largest(values) > kHalfMax)) return false;
  std::vector<std::byte> encoded(row_bytes);
  std::vector<float> decoded(source.cols);
  format.encode(values.data(), nullptr, encoded.data(), source.cols);
  format.decode(encoded.data(), decoded.data(), source.cols);
  return is_beyond(values, decoded);
}

std::size_t find_largest_row(const Source& source, Executor& executor) {
  struct Found {
    std::size_t row = 0;
    float value = 0;
    std::vector<float> buffer;
  };
  std::vector<Found> found(executor.threads());
  for (Found& each : found) each.buffer.resize(source.cols);
  executor.run([&](Worker& worker) {
    Found& mine = found[worker.index()];
    const Range rows = worker.split(source.rows);
    for (std::size_t r = rows.begin; r < rows.end; ++r) {
      source.format->decode(source.data + r * source.row_bytes, mine.buffer.data(), source.cols);
      const float value = largest(mine.buffer);
      if (value > mine.value) {
        mine.row = r;
        mine.value = value;
      }
    }
  });
  return std::max_element(found.begin(), found.end(),
                          [](const Found& a, const Found& b) { return a.value < b.value; })
      ->row;
}

}  // namespace

const char* rounding_name(Rounding rounding) noexcept {
  return rounding == Rounding::kFeedback ? "error feedback" : "nearest";
}

Result<Encoding> encode_matrix(const io::ModelFile& file, const std::string& name, DType type,
                               Rounding rounding, const Inputs& inputs, Executor& executor) {
  PARING_TRY(const Source source, open_source(file, name));
  auto row_bytes = dtype_row_bytes(type, source.cols);
  if (!row_bytes) return std::move(row_bytes.error()).with_context("tensor '" + name + "'");
  Encoding encoding;
  encoding.bytes.resize(source.rows * *row_bytes);
  if (type == source.format->type) {
    std::memcpy(encoding.bytes.data(), source.data, encoding.bytes.size());
    return encoding;
  }
  PARING_TRY(const quant::Format* format, quant::require_format(type));
  check_importance(source, inputs);
  PARING_TRY(const Totals totals, encode_rows(source, name, *format, *row_bytes, inputs,
                                              {1, source.rows, rounding, false, false},
                                              encoding.bytes.data(), executor));
  if (totals.large_row != SIZE_MAX) return too_large(name, totals.large_row, type);
  encoding.loss = totals.feedback;
  encoding.changed_share = totals.changed_by_feedback / static_cast<double>(encoding.bytes.size());
  return encoding;
}

Result<std::vector<EncodingLoss>> encoding_losses(const io::ModelFile& file,
                                                  const std::string& name,
                                                  std::span<const DType> types,
                                                  const Inputs& inputs, std::size_t rows_max,
                                                  Executor& executor) {
  PARING_TRY(const Source source, open_source(file, name));
  check_importance(source, inputs);
  const std::size_t step = std::max<std::size_t>(1, source.rows / rows_max);
  const std::size_t sampled = (source.rows + step - 1) / step;
  std::vector<EncodingLoss> losses(types.size());
  for (std::size_t i = 0; i < types.size(); ++i) {
    PARING_TRY(const quant::Format* format, quant::require_format(types[i]));
    PARING_TRY(const std::uint64_t row_bytes, dtype_row_bytes(types[i], source.cols));
    PARING_TRY(const Totals totals,
               encode_rows(source, name, *format, row_bytes, inputs,
                           {step, sampled, Rounding::kFeedback, true, i == 0}, nullptr, executor));
    const double scale = static_cast<double>(source.rows) / static_cast<double>(sampled);
    losses[i].energy = i == 0 ? totals.energy * scale : losses[0].energy;
    losses[i].nearest = totals.nearest * scale;
    losses[i].feedback = totals.feedback * scale;
    losses[i].changed_share =
        totals.changed_by_importance / static_cast<double>(sampled * row_bytes);
  }
  return losses;
}

Result<std::vector<DType>> types_beyond_range(const io::ModelFile& file, const std::string& name,
                                              std::span<const DType> types, Executor& executor) {
  PARING_TRY(const Source source, open_source(file, name));
  const std::size_t largest_row = find_largest_row(source, executor);
  std::vector<DType> beyond;
  for (const DType type : types) {
    PARING_TRY(const quant::Format* format, quant::require_format(type));
    PARING_TRY(const std::uint64_t row_bytes, dtype_row_bytes(type, source.cols));
    if (is_beyond_range(source, *format, row_bytes, largest_row)) beyond.push_back(type);
  }
  return beyond;
}

}  // namespace paring::shrink
