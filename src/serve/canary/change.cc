// SPDX-License-Identifier: Apache-2.0
#include "serve/canary/change.h"

#include <fmt/format.h>

#include <utility>

namespace paring::serve {

ModelSource changed(ModelSource now, const CanaryChange& change) {
  ServedModelOptions& options = now.options;
  if (!change.path.empty()) now.path = change.path;
  if (change.kv_type) options.kv_type = change.kv_type;
  options.context_tokens = change.context_tokens.value_or(options.context_tokens);
  options.cache_tokens = change.cache_tokens.value_or(options.cache_tokens);
  options.sequences_max = change.sequences_max.value_or(options.sequences_max);
  options.has_prefix_cache = change.has_prefix_cache.value_or(options.has_prefix_cache);
  options.guesses_ngrams = change.guesses_ngrams.value_or(options.guesses_ngrams);
  return now;
}

ResponseCacheOptions changed(ResponseCacheOptions now, const CanaryChange& change) {
  now.bytes_max = change.cache_bytes.value_or(now.bytes_max);
  now.seconds_max = change.cache_seconds.value_or(now.seconds_max);
  return now;
}

std::vector<std::string> permanent_words(const std::string& model, const CanaryChange& change) {
  std::vector<std::string> words;
  if (!change.path.empty()) words.push_back(model + "=" + change.path);
  if (change.kv_type) {
    words.push_back(fmt::format("--kv-type {}", kernels::kv_type_name(*change.kv_type)));
  }
  if (change.context_tokens) {
    words.push_back(fmt::format("--context-tokens {}", *change.context_tokens));
  }
  if (change.cache_tokens) words.push_back(fmt::format("--cache-tokens {}", *change.cache_tokens));
  if (change.sequences_max) {
    words.push_back(fmt::format("--sequences-max {}", *change.sequences_max));
  }
  if (change.has_prefix_cache) {
    words.emplace_back(*change.has_prefix_cache ? "without --no-prefix-cache"
                                                : "--no-prefix-cache");
  }
  if (change.guesses_ngrams) {
    words.emplace_back(*change.guesses_ngrams ? "without --no-speculation" : "--no-speculation");
  }
  if (change.cache_bytes) words.push_back(fmt::format("--cache-bytes {}", *change.cache_bytes));
  if (change.cache_seconds) {
    words.push_back(fmt::format("--cache-seconds {}", *change.cache_seconds));
  }
  return words;
}

std::string action_of(const CanaryChange& change) {
  std::vector<const char*> actions;
  if (!change.path.empty()) actions.push_back("weight_type");
  if (change.kv_type) actions.push_back("kv_type");
  if (change.context_tokens) actions.push_back("context_tokens");
  if (change.cache_tokens) actions.push_back("cache_tokens");
  if (change.sequences_max) actions.push_back("sequences_max");
  if (change.has_prefix_cache) actions.push_back("prefix_cache");
  if (change.guesses_ngrams) actions.push_back("speculation");
  if (change.is_of_server()) actions.push_back("response_cache");
  return actions.size() == 1 ? actions.front() : "several";
}

}  // namespace paring::serve
