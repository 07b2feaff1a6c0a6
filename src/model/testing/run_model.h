// SPDX-License-Identifier: Apache-2.0
// What tests of the forward pass share: threads, token ids, logits that are kept.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/executor.h"
#include "base/random.h"
#include "model/forward.h"

namespace paring::model::testing {

// Every logit row of a run, copied.
class CollectSink : public LogitsSink {
 public:
  void consume(Worker& worker, const LogitsChunk& chunk) override {
    if (!worker.is_first()) return;
    rows.insert(rows.end(), chunk.logits, chunk.logits + chunk.rows * chunk.vocabulary);
  }
  std::vector<float> rows;
};

inline std::unique_ptr<Executor> make_executor(std::size_t threads) {
  return Executor::create({.threads = threads, .pin = false}).value();
}

inline std::vector<std::int32_t> test_tokens(std::size_t count, std::size_t vocabulary,
                                             std::uint64_t seed) {
  RandomStream stream({seed, 7, 0});
  std::vector<std::int32_t> tokens(count);
  for (auto& token : tokens) {
    token = static_cast<std::int32_t>(stream.below(static_cast<std::uint32_t>(vocabulary)));
  }
  return tokens;
}

}  // namespace paring::model::testing
