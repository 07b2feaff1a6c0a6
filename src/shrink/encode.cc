// SPDX-License-Identifier: Apache-2.0
// Encoding of whole matrices from a file's own values, and the measure of what an encoding loses.
#include "shrink/encode.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "quant/format.h"

namespace paring::shrink {

namespace {

struct Source {
  const quant::Format* format;
  io::TensorBytes data;
  std::size_t rows;
  std::size_t cols;
  std::uint64_t row_bytes;
};

Result<Source> open_source(const io::ModelFile& file, const std::string& name) {
  const io::TensorInfo* info = file.find(name);
  PARING_CHECK(info != nullptr, "a loaded model's tensor is in its file");
  PARING_TRY(const quant::Format* format, quant::require_format(info->type));
  PARING_TRY(const std::uint64_t row_bytes, dtype_row_bytes(info->type, info->columns()));
  return Source{format, file.data(*info), static_cast<std::size_t>(info->rows()),
                static_cast<std::size_t>(info->columns()), row_bytes};
}

bool is_finite(const std::vector<float>& row) {
  return std::all_of(row.begin(), row.end(), [](float v) { return std::isfinite(v); });
}

Error not_finite(const std::string& name, std::size_t row) {
  return corrupt(fmt::format("tensor '{}' holds a value that is not finite in row {}", name, row),
                 "the original model is damaged");
}

}  // namespace

Result<std::vector<std::byte>> encode_matrix(const io::ModelFile& file, const std::string& name,
                                             DType type, std::span<const float> importance,
                                             Executor& executor) {
  PARING_TRY(const Source source, open_source(file, name));
  PARING_TRY(const quant::Format* format, quant::require_format(type));
  auto row_bytes = dtype_row_bytes(type, source.cols);
  if (!row_bytes) return std::move(row_bytes.error()).with_context("tensor '" + name + "'");
  std::vector<std::byte> encoded(source.rows * *row_bytes);
  if (type == source.format->type) {
    std::memcpy(encoded.data(), source.data.data(), encoded.size());
    return encoded;
  }
  PARING_CHECK(importance.empty() || importance.size() == source.cols, "one importance a column");
  std::vector<std::size_t> bad_rows(executor.threads(), source.rows);
  // Buffers are made here: a job on the executor must not throw, and an allocation may.
  std::vector<std::vector<float>> buffers(executor.threads(), std::vector<float>(source.cols));
  executor.run([&](Worker& worker) {
    std::vector<float>& row = buffers[worker.index()];
    const Range rows = worker.split(source.rows);
    for (std::size_t r = rows.begin; r < rows.end; ++r) {
      source.format->decode(source.data.data() + r * source.row_bytes, row.data(), source.cols);
      if (!is_finite(row)) {
        bad_rows[worker.index()] = r;
        return;
      }
      format->encode(row.data(), importance.empty() ? nullptr : importance.data(),
                     encoded.data() + r * *row_bytes, source.cols);
    }
  });
  const std::size_t bad = *std::min_element(bad_rows.begin(), bad_rows.end());
  if (bad < source.rows) return not_finite(name, bad);
  return encoded;
}

Result<std::vector<EncodingLoss>> encoding_losses(const io::ModelFile& file,
                                                  const std::string& name,
                                                  std::span<const DType> types,
                                                  std::span<const float> importance,
                                                  std::size_t rows_max, Executor& executor) {
  PARING_TRY(const Source source, open_source(file, name));
  const std::size_t step = std::max<std::size_t>(1, source.rows / rows_max);
  const std::size_t sampled = (source.rows + step - 1) / step;
  std::vector<EncodingLoss> losses(types.size());
  for (std::size_t i = 0; i < types.size(); ++i) {
    PARING_TRY(const quant::Format* format, quant::require_format(types[i]));
    PARING_TRY(const std::uint64_t row_bytes, dtype_row_bytes(types[i], source.cols));
    // One sum a row, added in row order: the same for any number of workers.
    std::vector<double> row_errors(sampled);
    std::vector<std::uint64_t> row_changed(sampled);
    struct Buffers {
      std::vector<float> row;
      std::vector<float> decoded;
      std::vector<std::byte> weighted;
      std::vector<std::byte> plain;
    };
    std::vector<Buffers> buffers(
        executor.threads(), {std::vector<float>(source.cols), std::vector<float>(source.cols),
                             std::vector<std::byte>(row_bytes), std::vector<std::byte>(row_bytes)});
    executor.run([&](Worker& worker) {
      auto& [row, decoded, weighted, plain] = buffers[worker.index()];
      const Range part = worker.split(sampled);
      for (std::size_t r = part.begin; r < part.end; ++r) {
        source.format->decode(source.data.data() + r * step * source.row_bytes, row.data(),
                              source.cols);
        format->encode(row.data(), importance.empty() ? nullptr : importance.data(),
                       weighted.data(), source.cols);
        format->encode(row.data(), nullptr, plain.data(), source.cols);
        format->decode(weighted.data(), decoded.data(), source.cols);
        for (std::size_t c = 0; c < source.cols; ++c) {
          const double difference = static_cast<double>(row[c]) - decoded[c];
          row_errors[r] += (importance.empty() ? 1.0 : importance[c]) * difference * difference;
        }
        for (std::size_t b = 0; b < row_bytes; ++b) row_changed[r] += weighted[b] != plain[b];
      }
    });
    double changed = 0;
    for (std::size_t r = 0; r < sampled; ++r) {
      losses[i].weighted_error += row_errors[r];
      changed += static_cast<double>(row_changed[r]);
    }
    losses[i].weighted_error *= static_cast<double>(source.rows) / static_cast<double>(sampled);
    losses[i].changed_share = changed / static_cast<double>(sampled * row_bytes);
  }
  return losses;
}

}  // namespace paring::shrink
