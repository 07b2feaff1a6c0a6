// SPDX-License-Identifier: Apache-2.0
#include "serve/cache/response_cache.h"

#include <bit>
#include <span>
#include <utility>

#include "base/sha256.h"

namespace paring::serve {

namespace {

// Every field with its length, so that no two requests have the same bytes.
class KeyBytes {
 public:
  void add(std::string_view text) {
    add(static_cast<std::uint64_t>(text.size()));
    bytes_ += text;
  }
  void add(std::uint64_t value) {
    for (int i = 0; i < 8; ++i) bytes_ += static_cast<char>(value >> (8 * i) & 0xff);
  }
  void add(double value) { add(std::bit_cast<std::uint64_t>(value)); }
  std::string sha256() const { return sha256_hex(bytes_); }
  const std::string& bytes() const noexcept { return bytes_; }

 private:
  std::string bytes_;
};

void add_sampling(KeyBytes& key, const api::Sampling& sampling, bool is_reproducible) {
  key.add(sampling.temperature);
  key.add(static_cast<std::uint64_t>(sampling.top_k));
  key.add(sampling.top_p);
  key.add(sampling.min_p);
  key.add(sampling.repetition_penalty);
  key.add(sampling.frequency_penalty);
  key.add(sampling.presence_penalty);
  // A greedy text does not depend on the seed; where none was asked for, any will do.
  const bool has_seed = is_reproducible && sampling.temperature != 0;
  key.add(static_cast<std::uint64_t>(has_seed));
  key.add(has_seed ? sampling.seed : std::uint64_t{0});
  key.add(static_cast<std::uint64_t>(sampling.logit_bias.size()));
  for (const api::TokenBias& entry : sampling.logit_bias) {
    key.add(static_cast<std::uint64_t>(entry.token));
    key.add(static_cast<double>(entry.bias));
  }
}

// All but the prompts and how long the answers may be, which follows from a prompt's length where
// nobody asked for a length.
KeyBytes settings_of(const std::string& variant, const std::string& tenant,
                     const AnswerPlan& plan) {
  KeyBytes key;
  key.add(variant);
  key.add(tenant);
  key.add(plan.format_key);
  key.add(static_cast<std::uint64_t>(plan.stop.size()));
  for (const std::string& stop : plan.stop) key.add(stop);
  key.add(static_cast<std::uint64_t>(plan.ignores_end));
  key.add(static_cast<std::uint64_t>(plan.echoes_prompt));
  key.add(static_cast<std::uint64_t>(plan.sequences.size()));
  for (const engine::SequenceRequest& sequence : plan.sequences) {
    key.add(static_cast<std::uint64_t>(sequence.samples));
    key.add(static_cast<std::uint64_t>(sequence.logprobs ? 1 + *sequence.logprobs : 0));
    key.add(static_cast<std::uint64_t>(sequence.adapter == nullptr ? 0 : sequence.adapter->id()));
    add_sampling(key, sequence.sampling, plan.is_reproducible);
  }
  return key;
}

}  // namespace

std::string response_key(const std::string& variant, const std::string& tenant,
                         const AnswerPlan& plan) {
  KeyBytes key = settings_of(variant, tenant, plan);
  for (const engine::SequenceRequest& sequence : plan.sequences) {
    key.add(static_cast<std::uint64_t>(sequence.prompt.size()));
    for (const std::int32_t token : sequence.prompt) key.add(static_cast<std::uint64_t>(token));
    key.add(static_cast<std::uint64_t>(sequence.max_tokens));
  }
  return key.sha256();
}

std::string response_settings(const std::string& tenant, const AnswerPlan& plan) {
  return settings_of("", tenant, plan).bytes();
}

std::string question_group(const std::string& variant, const std::string& tenant,
                           const AnswerPlan& plan) {
  KeyBytes key = settings_of(variant, tenant, plan);
  key.add(plan.question->frame);
  return key.sha256();
}

ResponseCache::Hit ResponseCache::find(const std::string& key) {
  if (const auto kept = kept_.find(key); kept != kept_.end()) {
    const Entries::iterator entry = kept->second;
    const double age = clock_.monotonic_seconds() - entry->computed_at;
    if (age <= options_.seconds_max) {
      entries_.splice(entries_.begin(), entries_, entry);
      return {Found::kKept, entry->answer, age};
    }
    drop(entry);
  }
  const auto flying = in_flight_.find(key);
  if (flying == in_flight_.end() || !flying->second->is_whole()) return {};
  return {Found::kInFlight, flying->second, 0};
}

void ResponseCache::begin(const std::string& key, const std::shared_ptr<SharedAnswer>& answer) {
  in_flight_[key] = answer;
}

void ResponseCache::end(const std::string& key, const SharedAnswer& answer) {
  const auto flying = in_flight_.find(key);
  if (flying == in_flight_.end() || flying->second.get() != &answer) return;
  const std::shared_ptr<SharedAnswer> ended = std::move(flying->second);
  in_flight_.erase(flying);
  if (!ended->is_reusable() || ended->bytes() > options_.bytes_max) return;
  if (const auto kept = kept_.find(key); kept != kept_.end()) drop(kept->second);
  entries_.push_front({key, ended, clock_.monotonic_seconds()});
  kept_[key] = entries_.begin();
  bytes_ += ended->bytes();
  while (bytes_ > options_.bytes_max) drop(std::prev(entries_.end()));
}

void ResponseCache::drop(Entries::iterator entry) {
  bytes_ -= entry->answer->bytes();
  kept_.erase(entry->key);
  entries_.erase(entry);
}

void ResponseCache::set_options(const ResponseCacheOptions& options) {
  options_ = options;
  while (bytes_ > options_.bytes_max) drop(std::prev(entries_.end()));
}

void ResponseCache::clear() {
  while (!entries_.empty()) drop(entries_.begin());
}

}  // namespace paring::serve
