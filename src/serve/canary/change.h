// SPDX-License-Identifier: Apache-2.0
// A change of how a model is served: what of it is another, and the words that make it so for good.
// Plain data; functions are pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "kernels/ops.h"
#include "serve/cache/response_cache.h"
#include "serve/model_source.h"

namespace paring::serve {

// Absent (or ""): as it is.
struct CanaryChange {
  std::string path = {};  // of another file, as find_model() found it
  std::optional<kernels::KvType> kv_type = std::nullopt;
  std::optional<std::size_t> context_tokens = std::nullopt;
  std::optional<std::size_t> cache_tokens = std::nullopt;
  std::optional<std::size_t> sequences_max = std::nullopt;
  std::optional<bool> has_prefix_cache = std::nullopt;
  std::optional<bool> guesses_ngrams = std::nullopt;
  // Of the server: the cache of whole answers.
  std::optional<std::size_t> cache_bytes = std::nullopt;
  std::optional<double> cache_seconds = std::nullopt;

  bool is_of_server() const noexcept { return cache_bytes || cache_seconds; }
};

// `now` with the change. What it has that is absent in the change stays.
ModelSource changed(ModelSource now, const CanaryChange& change);

ResponseCacheOptions changed(ResponseCacheOptions now, const CanaryChange& change);

// Options of `paring serve` that say the same, for whoever wants it to outlive the process.
std::vector<std::string> permanent_words(const std::string& model, const CanaryChange& change);

// How the ledger calls it where nobody says: "weight_type", "kv_type", ..., "several".
std::string action_of(const CanaryChange& change);

}  // namespace paring::serve
