// SPDX-License-Identifier: Apache-2.0
#include "shrink/imatrix_statistics.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/sha256.h"

namespace paring::shrink {

namespace {

constexpr const char* kHint = "the importance matrix is of another model";

// What identifies the values, whatever layout they came in.
std::string values_sha256(const io::Imatrix& imatrix) {
  Sha256 all;
  for (const io::ImatrixEntry& entry : imatrix.entries) {
    all.update(fmt::format("{}:{}:", entry.name.size(), entry.name));
    all.update(std::as_bytes(std::span(entry.mean_squares)));
  }
  return hex(all.finish());
}

}  // namespace

Result<Statistics> statistics_from_imatrix(const io::Imatrix& imatrix, const model::Model& model,
                                           const std::string& path) {
  Statistics statistics;
  statistics.text_name = imatrix.datasets.empty() ? path : imatrix.datasets.front();
  statistics.text_sha256 = values_sha256(imatrix);
  statistics.tokens = imatrix.chunk_count * imatrix.chunk_tokens;
  statistics.mean_squares.resize(model.matrix_count());
  std::size_t found = 0;
  for (std::size_t i = 0; i < model.matrix_count(); ++i) {
    const model::MatrixSlot& slot = model.slot(i);
    const io::ImatrixEntry* entry = imatrix.find(slot.name);
    if (entry == nullptr) continue;
    if (entry->mean_squares.size() != slot.cols) {
      return invalid_argument(fmt::format("{}: entry '{}' has {} columns, the model's matrix {}",
                                          path, slot.name, entry->mean_squares.size(), slot.cols),
                              kHint);
    }
    if (std::all_of(entry->mean_squares.begin(), entry->mean_squares.end(),
                    [](float value) { return value == 0; })) {
      return invalid_argument(fmt::format("{}: entry '{}' holds only zeros", path, slot.name),
                              "collect it again on text that reaches this matrix");
    }
    statistics.mean_squares[i] = entry->mean_squares;
    ++found;
  }
  if (found == 0) {
    return invalid_argument(fmt::format("{}: none of its {} entries names a matrix of the model",
                                        path, imatrix.entries.size()),
                            kHint);
  }
  return statistics;
}

io::Imatrix imatrix_from_statistics(const Statistics& statistics, const model::Model& model,
                                    std::size_t context) {
  io::Imatrix imatrix;
  imatrix.datasets = {statistics.text_name};
  imatrix.chunk_tokens = context;
  imatrix.chunk_count = statistics.tokens / context;
  for (std::size_t i = 0; i < model.matrix_count(); ++i) {
    if (statistics.mean_squares[i].empty()) continue;
    imatrix.entries.push_back(
        {model.slot(i).name, statistics.mean_squares[i], static_cast<double>(statistics.tokens)});
  }
  return imatrix;
}

}  // namespace paring::shrink
