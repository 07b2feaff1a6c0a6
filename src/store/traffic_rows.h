// SPDX-License-Identifier: Apache-2.0
// What is kept of a served request, what may be asked of many, and the sums that answer it. Plain
// values.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/quantile_sketch.h"

namespace paring::store {

// Where an answer came from. enumerator, name in the database and in APIs
#define PARING_TRAFFIC_CACHES(X) \
  X(kNone, "none")               \
  X(kExact, "exact")             \
  X(kSemantic, "semantic")       \
  X(kJoined, "joined")

enum class TrafficCache : std::uint8_t {
#define PARING_X(name, text) name,
  PARING_TRAFFIC_CACHES(PARING_X)
#undef PARING_X
};
const char* traffic_cache_name(TrafficCache cache) noexcept;
std::optional<TrafficCache> traffic_cache_of(std::string_view name) noexcept;

#define PARING_JOULES_KINDS(X) \
  X(kNone, "none")             \
  X(kMeasured, "measured")     \
  X(kEstimated, "estimated")

enum class JoulesKind : std::uint8_t {
#define PARING_X(name, text) name,
  PARING_JOULES_KINDS(PARING_X)
#undef PARING_X
};
const char* joules_kind_name(JoulesKind kind) noexcept;

// Each token is in one class; drafted and accepted ones are guesses of speculation.
struct TrafficTokens {
  std::int64_t prompt_fresh = 0;
  std::int64_t prompt_cached = 0;
  std::int64_t answer_visible = 0;
  std::int64_t answer_reasoning = 0;
  std::int64_t drafted = 0;
  std::int64_t accepted = 0;
};

// Nothing where it is not known or did not happen.
struct TrafficSeconds {
  std::optional<double> queue;
  std::optional<double> prefill;
  std::optional<double> decode;
  std::optional<double> first_token;  // since the arrival
  std::optional<double> total;
  // Its share of the engine's steps: parts of all requests add up to the time of all steps.
  double prefill_work = 0;
  double decode_work = 0;
};

// What tells equal prompts and equal beginnings of prompts apart without their text: hashes under a
// key that stays in the data folder.
struct TrafficPromptMarks {
  // Of all that decides the answer but what computes it; 0: not known.
  std::uint64_t key = 0;
  bool is_repeatable = false;  // equal requests get equal answers
  // Four bytes for each whole block of kTrafficBlockTokens tokens, each with all tokens in front of
  // it; of the first kTrafficBlocksMax blocks.
  std::vector<std::uint8_t> blocks;
};
inline constexpr std::size_t kTrafficBlockTokens = 32;
inline constexpr std::size_t kTrafficBlockBytes = 4;
inline constexpr std::size_t kTrafficBlocksMax = 1024;

struct TrafficMoney {
  double hardware = 0;
  double energy = 0;
  double tokens = 0;  // what a price list asks
  std::string currency;
};

struct TrafficContent {
  std::string prompt;
  std::string answer;
};

// Texts but those of the content are cut at kTrafficTextBytesMax.
inline constexpr std::size_t kTrafficTextBytesMax = 256;
struct TrafficRequest {
  std::string id;  // x-request-id
  std::string trace_id;
  std::string span_id;
  std::string parent_id;
  double started_s = 0;      // since 1970-01-01 UTC; decides the day
  std::string route;         // protocol and path
  int status = 0;            // of HTTP
  bool is_complete = false;  // the client got all of it
  std::string end;           // "stop", "length", "tool_calls", "cancelled", "error", ""
  std::string error_code;
  std::string key_id;
  std::string tenant;
  std::string user;
  std::string session;
  std::string prompt_version;  // as the client names it
  std::string model;
  std::string variant;
  TrafficCache cache = TrafficCache::kNone;
  TrafficTokens tokens;
  TrafficSeconds seconds;
  double operations = 0;
  double bytes_read = 0;
  double joules = 0;
  JoulesKind joules_kind = JoulesKind::kNone;
  TrafficMoney money;
  std::int64_t peak_pages = 0;  // of the KV cache
  std::int64_t preemptions = 0;
  TrafficPromptMarks marks;
  std::vector<std::uint8_t> gaps;         // encode_gaps() of store/token_gaps.h
  std::optional<TrafficContent> content;  // read back by find(), and by page() if asked
  bool has_content = false;               // set by reading
};

// All that are set must hold.
struct TrafficFilter {
  double from_s = 0;                                      // started_s >= from_s
  double to_s = std::numeric_limits<double>::infinity();  // started_s < to_s
  std::optional<std::string> tenant{};
  std::optional<std::string> model{};
  std::optional<std::string> variant{};
  std::optional<std::string> key_id{};
  std::optional<std::string> route{};
  std::optional<int> status_class{};  // 2 for 200 to 299, ...
  std::optional<TrafficCache> cache{};
  std::optional<double> min_total_seconds{};  // rows without a total do not match
};

// What sums can be had apart by: enumerator, name in APIs, field
#define PARING_TRAFFIC_KEYS(X)    \
  X(kTenant, "tenant", tenant)    \
  X(kModel, "model", model)       \
  X(kVariant, "variant", variant) \
  X(kKey, "key_id", key_id)       \
  X(kRoute, "route", route)       \
  X(kCache, "cache", cache)

enum class TrafficKey : std::uint8_t {
#define PARING_X(name, text, field) name,
  PARING_TRAFFIC_KEYS(PARING_X)
#undef PARING_X
};
const char* traffic_key_name(TrafficKey key) noexcept;
std::optional<TrafficKey> traffic_key_of(std::string_view name) noexcept;

struct TrafficPage {
  std::vector<TrafficRequest> rows;
  std::string next;  // the cursor of the next page; "" when this is the last one
};

// errors: status 400 and above, or the end "error"; cached: answered by any cache.
#define PARING_TRAFFIC_COUNTS(X) \
  X(requests)                    \
  X(errors)                      \
  X(cancelled)                   \
  X(incomplete)                  \
  X(cached)                      \
  X(prompt_fresh)                \
  X(prompt_cached)               \
  X(answer_visible)              \
  X(answer_reasoning)            \
  X(drafted)                     \
  X(accepted)                    \
  X(preemptions)
#define PARING_TRAFFIC_AMOUNTS(X) \
  X(queue_seconds)                \
  X(prefill_seconds)              \
  X(decode_seconds)               \
  X(first_token_seconds)          \
  X(total_seconds)                \
  X(operations)                   \
  X(bytes_read)                   \
  X(joules_measured)              \
  X(joules_estimated)

struct TrafficSums {
#define PARING_X(name) std::int64_t name = 0;
  PARING_TRAFFIC_COUNTS(PARING_X)
#undef PARING_X
#define PARING_X(name) double name = 0;
  PARING_TRAFFIC_AMOUNTS(PARING_X)
#undef PARING_X
  std::vector<TrafficMoney> money;  // one for each currency that occurs, in their order
  QuantileSketch first_token;       // of requests, seconds
  QuantileSketch total;
  QuantileSketch gap;  // of tokens, seconds

  void add(const TrafficRequest& request);
  void add(const TrafficMoney& more);
  void merge(const TrafficSums& other);
};

// What an end user (the field "user" of requests) asked for, of one tenant.
struct TrafficUser {
  std::string tenant;
  std::string user;  // "(other)": those of days that had too many users to be told apart
  std::int64_t requests = 0;
  std::int64_t errors = 0;
  std::int64_t prompt_fresh = 0;
  std::int64_t prompt_cached = 0;
  std::int64_t answer = 0;  // visible and reasoning
  double joules_measured = 0;
  double joules_estimated = 0;
  std::vector<TrafficMoney> money;  // one for each currency that occurs, in their order
};

struct TrafficUsers {
  // Whole hours: the asked time, made longer at its ends.
  double from_s = 0;
  double to_s = 0;
  std::vector<TrafficUser> users;  // those with most tokens first
  std::int64_t left_out = 0;       // users beyond the limit
};

// A model as a server computed it in an hour.
struct TrafficEngine {
  std::int64_t hour_s = 0;  // its first second
  std::string model;
  std::string variant;
  double loaded_s = 0;  // since 1970: tells two of one hour apart
  std::string facts;    // a JSON object: what it computed with
  std::string steps;    // a JSON object: what its steps took (engine/step_sums.h)
};

struct TrafficBucket {
  std::int64_t start_s = 0;  // a multiple of the bucket's seconds since 1970
  TrafficSums sums;
};

}  // namespace paring::store
