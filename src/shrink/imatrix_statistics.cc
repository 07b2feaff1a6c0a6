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
  statistics.expert_tokens.resize(model.matrix_count());
  std::size_t found = 0;
  for (std::size_t i = 0; i < model.matrix_count(); ++i) {
    const model::MatrixSlot& slot = model.slot(i);
    const io::ImatrixEntry* entry = imatrix.find(slot.name);
    if (entry == nullptr) continue;
    ++found;
    // The older layout does not tell experts apart.
    const std::size_t experts = std::max<std::size_t>(slot.experts, 1);
    const bool has_its_experts = entry->counts.size() == 1 || entry->counts.size() == experts;
    if (entry->mean_squares.size() != experts * slot.cols || !has_its_experts) {
      return invalid_argument(
          fmt::format("{}: entry '{}' has {} columns for {} matrices, the model's tensor {} for {}",
                      path, slot.name, entry->mean_squares.size() / entry->counts.size(),
                      entry->counts.size(), slot.cols, experts),
          kHint);
    }
    if (std::all_of(entry->mean_squares.begin(), entry->mean_squares.end(),
                    [](float value) { return value == 0; })) {
      return invalid_argument(fmt::format("{}: entry '{}' holds only zeros", path, slot.name),
                              "collect it again on text that reaches this matrix");
    }
    statistics.mean_squares[i] = entry->mean_squares;
    if (slot.experts == 0) continue;
    fill_unseen_experts(statistics.mean_squares[i], slot.cols);
    statistics.expert_tokens[i].assign(experts, entry->counts.front());
    if (entry->counts.size() == experts) statistics.expert_tokens[i] = entry->counts;
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
    const std::vector<double>& experts = statistics.expert_tokens[i];
    const std::vector<double> all = {static_cast<double>(statistics.tokens)};
    imatrix.entries.push_back(
        {model.slot(i).name, statistics.mean_squares[i], experts.empty() ? all : experts});
  }
  return imatrix;
}

}  // namespace paring::shrink
