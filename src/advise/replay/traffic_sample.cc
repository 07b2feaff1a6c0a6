// SPDX-License-Identifier: Apache-2.0
#include "advise/replay/traffic_sample.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <utility>

#include "store/token_gaps.h"

namespace paring::advise {

namespace {

constexpr std::int64_t kPageRows = 1000;
constexpr int kFirstError = 400;

std::vector<std::uint32_t> blocks_of(const std::vector<std::uint8_t>& bytes) {
  std::vector<std::uint32_t> blocks(bytes.size() / store::kTrafficBlockBytes);
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    for (std::size_t byte = 0; byte < store::kTrafficBlockBytes; ++byte) {
      blocks[i] |= std::uint32_t{bytes[i * store::kTrafficBlockBytes + byte]} << (8 * byte);
    }
  }
  return blocks;
}

std::size_t whole(std::int64_t count) {
  return static_cast<std::size_t>(std::max<std::int64_t>(count, 0));
}

ReplayRequest request_of(const store::TrafficRequest& row) {
  ReplayRequest request;
  request.arrival_s = row.started_s;
  request.prompt_tokens =
      std::max<std::size_t>(whole(row.tokens.prompt_fresh) + whole(row.tokens.prompt_cached), 1);
  request.answer_tokens = whole(row.tokens.answer_visible) + whole(row.tokens.answer_reasoning);
  request.drafted = whole(row.tokens.drafted);
  request.accepted = whole(row.tokens.accepted);
  request.key = row.marks.key;
  request.is_repeatable = row.marks.is_repeatable;
  request.blocks = blocks_of(row.marks.blocks);
  const double engine = row.seconds.queue.value_or(0) + row.seconds.prefill.value_or(0) +
                        row.seconds.decode.value_or(0);
  request.overhead_s = std::max(row.seconds.total.value_or(engine) - engine, 0.0);
  return request;
}

// Whether an engine computed it.
bool is_computed(const store::TrafficRequest& row) {
  return row.seconds.prefill_work + row.seconds.decode_work > 0;
}

bool is_sound(const store::TrafficRequest& row) {
  const std::int64_t prompt = row.tokens.prompt_fresh + row.tokens.prompt_cached;
  const std::int64_t answer = row.tokens.answer_visible + row.tokens.answer_reasoning;
  return row.status < kFirstError && row.end != "error" && prompt > 0 && answer > 0;
}

// What was measured of requests, row by row.
class Measurement {
 public:
  void add(const store::TrafficRequest& row) {
    ++measured_.requests;
    measured_.work_s += row.seconds.prefill_work + row.seconds.decode_work;
    measured_.first_token_s += row.seconds.first_token.value_or(0);
    measured_.joules += row.joules;
    measured_.money += row.money.hardware + row.money.energy;
    measured_.currency = row.money.currency;
    prompt_ += static_cast<double>(row.tokens.prompt_fresh + row.tokens.prompt_cached);
    cached_ += static_cast<double>(row.tokens.prompt_cached);
    const auto gaps = store::decode_gaps(row.gaps);
    if (!gaps) return;
    for (const std::int64_t gap : *gaps) measured_.gap_s += static_cast<double>(gap) * 1e-6;
    gaps_ += static_cast<double>(gaps->size());
  }
  Measured result() const {
    Measured result = measured_;
    if (result.requests > 0) result.first_token_s /= static_cast<double>(result.requests);
    if (gaps_ > 0) result.gap_s /= gaps_;
    result.cached_share = prompt_ > 0 ? cached_ / prompt_ : 0;
    return result;
  }

 private:
  Measured measured_;  // sums for now
  double prompt_ = 0;
  double cached_ = 0;
  double gaps_ = 0;
};

// The last engine, and since when it computed.
struct LastEngine {
  store::TrafficEngine engine;
  EngineFacts facts;
  engine::StepModel steps;
};

Result<LastEngine> last_engine(const std::vector<store::TrafficEngine>& engines) {
  LastEngine last;
  last.engine = *std::ranges::max_element(
      engines, {}, [](const store::TrafficEngine& e) { return std::pair(e.hour_s, e.loaded_s); });
  PARING_TRY(last.facts, facts_of(last.engine));
  engine::StepSums sums;
  // With those that were set up like it.
  for (const store::TrafficEngine& engine : engines) {
    if (engine.model != last.engine.model || engine.variant != last.engine.variant) continue;
    if (engine.loaded_s != last.engine.loaded_s) {
      const Result<EngineFacts> facts = facts_of(engine);
      if (!facts || facts->threads != last.facts.threads ||
          facts->has_speculation != last.facts.has_speculation) {
        continue;
      }
    }
    PARING_TRY(const engine::StepSums steps, engine::StepSums::from_json(engine.steps));
    sums.merge(steps);
  }
  PARING_TRY(last.steps, sums.fit());
  return last;
}

// Times since the first, and how many equal an earlier one.
void finish(TrafficSample& sample) {
  std::ranges::reverse(sample.requests);
  sample.from_s = sample.requests.front().arrival_s;
  sample.to_s = sample.requests.back().arrival_s;
  std::unordered_map<std::uint64_t, std::size_t> seen;
  for (ReplayRequest& request : sample.requests) {
    request.arrival_s -= sample.from_s;
    if (request.key == 0 || seen[request.key]++ == 0) continue;
    ++sample.repeated;
    sample.repeated_unrepeatable += request.is_repeatable ? 0 : 1;
  }
}

}  // namespace

Result<EngineFacts> facts_of(const store::TrafficEngine& engine) {
  const nlohmann::json json = nlohmann::json::parse(engine.facts, nullptr, false);
  EngineFacts facts;
  std::string missing;
  const auto number = [&](const char* name, auto& value, bool is_needed = true) {
    const auto found = json.is_object() ? json.find(name) : json.end();
    if (found != json.end() && found->is_number() && found->get<double>() >= 0 &&
        found->get<double>() < 1e18) {
      value = found->get<std::remove_reference_t<decltype(value)>>();
    } else if (is_needed) {
      missing = name;
    }
  };
  const auto flag = [&](const char* name, bool& value) {
    const auto found = json.is_object() ? json.find(name) : json.end();
    if (found != json.end() && found->is_boolean()) {
      value = found->get<bool>();
    } else {
      missing = name;
    }
  };
  const auto text = [&](const char* name, std::string& value) {
    const auto found = json.is_object() ? json.find(name) : json.end();
    if (found != json.end() && found->is_string()) {
      value = found->get<std::string>();
    } else {
      missing = name;
    }
  };
  facts.variant = engine.variant;
  text("path", facts.path);
  text("kv_type", facts.kv_type);
  text("isa", facts.isa);
  number("weight_bytes", facts.weight_bytes);
  number("extra_bytes", facts.extra_bytes);
  number("resident_bytes", facts.resident_bytes, false);
  number("kv_bytes_per_token", facts.kv_bytes_per_token);
  number("threads", facts.threads);
  number("context_tokens", facts.context_tokens);
  flag("has_speculation", facts.has_speculation);
  number("sequences_max", facts.engine.sequences_max);
  number("step_tokens", facts.engine.step_tokens);
  number("mixed_prompt_tokens", facts.engine.mixed_prompt_tokens);
  number("mixed_step_ratio", facts.engine.mixed_step_ratio);
  number("cache_tokens", facts.engine.cache_tokens);
  flag("has_prefix_cache", facts.engine.has_prefix_cache);
  number("response_cache_bytes", facts.engine.response_cache_bytes);
  number("response_cache_seconds", facts.engine.response_cache_s);
  if (facts.engine.sequences_max == 0) missing = "sequences_max";
  if (facts.engine.step_tokens == 0) missing = "step_tokens";
  if (!missing.empty()) {
    return corrupt(fmt::format("what the server wrote of the engine of '{}' lacks '{}'",
                               engine.model, missing),
                   "serve the model with this version for a while");
  }
  return facts;
}

double mean_depth(const TrafficSample& sample) noexcept {
  double tokens = 0;
  double positions = 0;
  for (const ReplayRequest& request : sample.requests) {
    const auto answer = static_cast<double>(request.answer_tokens);
    tokens += answer;
    positions += answer * (static_cast<double>(request.prompt_tokens) + answer / 2);
  }
  return tokens > 0 ? positions / tokens : 0;
}

Result<TrafficSample> read_sample(const store::TrafficDb& traffic, const SampleOptions& options) {
  store::TrafficFilter filter{.from_s = options.from_s, .to_s = options.to_s};
  if (!options.model.empty()) filter.model = options.model;
  PARING_TRY(const std::vector<store::TrafficEngine> engines, traffic.engines(filter));
  if (engines.empty()) {
    const std::string what = options.model.empty() ? "any model" : "'" + options.model + "'";
    return not_found(fmt::format("no server wrote what the steps of {} took", what),
                     "serve it with this version and --traffic on for a while, or name another "
                     "time with --hours");
  }
  PARING_TRY(const LastEngine last, last_engine(engines));
  TrafficSample sample;
  sample.model = last.engine.model;
  sample.facts = last.facts;
  sample.steps = last.steps;
  filter.model = sample.model;
  std::string cursor;
  Measurement measurement;
  while (sample.requests.size() < options.requests_max) {
    PARING_TRY(const store::TrafficPage page, traffic.page(filter, cursor, kPageRows));
    for (const store::TrafficRequest& row : page.rows) {
      if (sample.requests.size() >= options.requests_max) break;
      if (!is_sound(row)) {
        ++sample.failed;
        continue;
      }
      sample.requests.push_back(request_of(row));
      sample.unmarked += row.marks.key == 0 ? 1 : 0;
      const bool is_of_last =
          row.variant == last.engine.variant && row.started_s >= last.engine.loaded_s;
      if (is_of_last && is_computed(row)) measurement.add(row);
    }
    cursor = page.next;
    if (cursor.empty()) break;
  }
  if (sample.requests.size() < kSampleRequestsMin) {
    return not_found(fmt::format("{} answered requests of '{}' in that time, advice takes {}",
                                 sample.requests.size(), sample.model, kSampleRequestsMin),
                     "wait for more, or look further back with --hours");
  }
  sample.measured = measurement.result();
  finish(sample);
  return sample;
}

}  // namespace paring::advise
