// SPDX-License-Identifier: Apache-2.0
// What tests against golden files of llama.cpp (tools/make_golden.py) share. Header only, for tests
// alone.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "model/forward.h"

namespace paring::measure {

using Json = nlohmann::json;

inline std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The golden positions of one window, and what the file says of each.
struct GoldenRows {
  std::vector<const Json*> rows;
  std::vector<std::size_t> positions;
};
inline GoldenRows golden_rows(const Json& golden, std::size_t window) {
  GoldenRows found;
  for (const Json& row : golden["positions"]) {
    if (row["window"].get<std::size_t>() != window) continue;
    found.rows.push_back(&row);
    found.positions.push_back(row["position"].get<std::size_t>());
  }
  return found;
}

// Keeps copies of the logits of some positions of one window.
class CaptureSink : public model::LogitsSink {
 public:
  CaptureSink(std::size_t first_position, std::vector<std::size_t> positions)
      : first_position_(first_position),
        positions_(std::move(positions)),
        rows(positions_.size()) {}

  void consume(Worker& worker, const model::LogitsChunk& chunk) override {
    if (worker.index() != 0) return;
    for (std::size_t i = 0; i < positions_.size(); ++i) {
      const std::size_t row = positions_[i] - first_position_;
      if (row < chunk.first || row >= chunk.first + chunk.rows) continue;
      const float* logits = chunk.logits + (row - chunk.first) * chunk.vocabulary;
      rows[i].assign(logits, logits + chunk.vocabulary);
    }
  }

 private:
  std::size_t first_position_;
  std::vector<std::size_t> positions_;

 public:
  std::vector<std::vector<float>> rows;
};

inline double log_sum_exp(const std::vector<float>& logits) {
  const double peak = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - peak);
  return peak + std::log(sum);
}

// Divergence from the golden distribution, with all tokens that it does not list as one event: a
// lower bound of the whole divergence that misses only differences inside the tail.
inline double divergence(const Json& golden, const std::vector<float>& logits, double* worst) {
  const double log_sum = log_sum_exp(logits);
  double kl = 0, tail = 1;
  for (std::size_t i = 0; i < golden["tokens"].size(); ++i) {
    const double p = golden["log_probabilities"][i].get<double>();
    const double q = static_cast<double>(logits[golden["tokens"][i].get<std::size_t>()]) - log_sum;
    kl += std::exp(p) * (p - q);
    tail -= std::exp(q);
    *worst = std::max(*worst, std::abs(p - q));
  }
  const double golden_tail = golden["tail_mass"].get<double>();
  if (golden_tail > 1e-6 && tail > 0) kl += golden_tail * std::log(golden_tail / tail);
  return kl;
}

}  // namespace paring::measure
