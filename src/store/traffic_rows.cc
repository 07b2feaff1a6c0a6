// SPDX-License-Identifier: Apache-2.0
#include "store/traffic_rows.h"

#include <algorithm>
#include <string_view>

#include "store/token_gaps.h"

namespace paring::store {

namespace {

constexpr const char* kCacheNames[] = {
#define PARING_X(name, text) text,
    PARING_TRAFFIC_CACHES(PARING_X)
#undef PARING_X
};
constexpr const char* kJoulesNames[] = {
#define PARING_X(name, text) text,
    PARING_JOULES_KINDS(PARING_X)
#undef PARING_X
};

constexpr const char* kKeyNames[] = {
#define PARING_X(name, text, field) text,
    PARING_TRAFFIC_KEYS(PARING_X)
#undef PARING_X
};

void observe(double& sum, const std::optional<double>& seconds, QuantileSketch* sketch = nullptr) {
  if (!seconds) return;
  sum += *seconds;
  if (sketch != nullptr) sketch->add(*seconds);
}

}  // namespace

const char* traffic_cache_name(TrafficCache cache) noexcept {
  return kCacheNames[static_cast<std::size_t>(cache)];
}

std::optional<TrafficCache> traffic_cache_of(std::string_view name) noexcept {
  const auto found = std::ranges::find(kCacheNames, name);
  if (found == std::end(kCacheNames)) return std::nullopt;
  return static_cast<TrafficCache>(found - std::begin(kCacheNames));
}

const char* traffic_key_name(TrafficKey key) noexcept {
  return kKeyNames[static_cast<std::size_t>(key)];
}

std::optional<TrafficKey> traffic_key_of(std::string_view name) noexcept {
  const auto found = std::ranges::find(kKeyNames, name);
  if (found == std::end(kKeyNames)) return std::nullopt;
  return static_cast<TrafficKey>(found - std::begin(kKeyNames));
}

const char* joules_kind_name(JoulesKind kind) noexcept {
  return kJoulesNames[static_cast<std::size_t>(kind)];
}

void TrafficSums::add(const TrafficRequest& request) {
  requests += 1;
  errors += request.status >= 400 || request.end == "error" ? 1 : 0;
  cancelled += request.end == "cancelled" ? 1 : 0;
  incomplete += request.is_complete ? 0 : 1;
  cached += request.cache == TrafficCache::kNone ? 0 : 1;
  prompt_fresh += request.tokens.prompt_fresh;
  prompt_cached += request.tokens.prompt_cached;
  answer_visible += request.tokens.answer_visible;
  answer_reasoning += request.tokens.answer_reasoning;
  drafted += request.tokens.drafted;
  accepted += request.tokens.accepted;
  preemptions += request.preemptions;
  observe(queue_seconds, request.seconds.queue);
  observe(prefill_seconds, request.seconds.prefill);
  observe(decode_seconds, request.seconds.decode);
  observe(first_token_seconds, request.seconds.first_token, &first_token);
  observe(total_seconds, request.seconds.total, &total);
  operations += request.operations;
  bytes_read += request.bytes_read;
  if (request.joules_kind == JoulesKind::kMeasured) joules_measured += request.joules;
  if (request.joules_kind == JoulesKind::kEstimated) joules_estimated += request.joules;
  add(request.money);
  // A row whose gaps cannot be read has no part in their percentiles.
  const Result<std::vector<std::int64_t>> gaps = decode_gaps(request.gaps);
  if (!gaps) return;
  for (const std::int64_t microseconds : *gaps) gap.add(static_cast<double>(microseconds) * 1e-6);
}

void TrafficSums::add(const TrafficMoney& more) {
  if (more.hardware == 0 && more.energy == 0 && more.tokens == 0) return;
  auto place = std::ranges::lower_bound(money, more.currency, {}, &TrafficMoney::currency);
  if (place == money.end() || place->currency != more.currency) {
    money.insert(place, more);
    return;
  }
  place->hardware += more.hardware;
  place->energy += more.energy;
  place->tokens += more.tokens;
}

void TrafficSums::merge(const TrafficSums& other) {
#define PARING_X(name) name += other.name;
  PARING_TRAFFIC_COUNTS(PARING_X)
  PARING_TRAFFIC_AMOUNTS(PARING_X)
#undef PARING_X
  for (const TrafficMoney& each : other.money) add(each);
  first_token.merge(other.first_token);
  total.merge(other.total);
  gap.merge(other.gap);
}

}  // namespace paring::store
