// SPDX-License-Identifier: Apache-2.0
#include "advise/advisor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "advise/prediction.h"
#include "measure/statistics.h"

namespace paring::advise {

namespace {

using Json = nlohmann::json;

constexpr double kMegabyte = 1e6;
constexpr double kDefaultCacheBytes = 64 * 1024 * 1024;

struct Maker {
  const TrafficSample& sample;
  const AdvisorOptions& options;
  const Predictor& predictor;
  std::vector<Advice> made{};

  const EngineFacts& facts() const { return sample.facts; }
  std::string serve(const std::string& flags) const {
    return fmt::format("paring serve {} {}", facts().path, flags);
  }
  void add(Advice advice) { made.push_back(std::move(advice)); }

  void response_cache();
  void repeats_that_are_sampled();
  void prefix_cache();
  void weight_types();
  void kv_type();
  void sequences();
  void speculation();
  void context_trimming();
  void replicas();
  void threads();
  void memory();
};

std::string share_of(std::size_t part, std::size_t all) {
  return fmt::format("{} of {} ({:.1f} %)", part, all,
                     all > 0 ? 100.0 * static_cast<double>(part) / static_cast<double>(all) : 0.0);
}

void Maker::response_cache() {
  const std::size_t repeatable = sample.repeated - sample.repeated_unrepeatable;
  if (repeatable == 0 || facts().engine.response_cache_bytes > 0) return;
  Advice advice;
  advice.action = AdviceAction::kResponseCache;
  advice.title = "Give answers again to equal requests";
  advice.evidence = fmt::format(
      "{} requests equal an earlier one in prompt, settings and tenant, and can only be answered "
      "in "
      "one way (temperature 0 or a seed); the cache of answers is off",
      share_of(repeatable, sample.requests.size()));
  advice.commands = {serve("--cache-bytes 64MiB")};
  advice.change =
      Json({{"settings", {{"cache_bytes", static_cast<std::int64_t>(kDefaultCacheBytes)}}}}).dump();
  advice.loss = "none: what is given again is the same text";
  Variation variation = predictor.present();
  variation.engine.response_cache_bytes = kDefaultCacheBytes;
  predictor.predict(variation, AdviceMetric::kThroughput, advice);
  add(std::move(advice));
}

void Maker::repeats_that_are_sampled() {
  if (sample.repeated_unrepeatable == 0) return;
  Advice advice;
  advice.action = AdviceAction::kResponseCache;
  advice.title = "Give answers again to equal requests that are sampled";
  advice.evidence = fmt::format(
      "{} requests equal an earlier one, but ask for a random answer (a temperature and no seed), "
      "so that each is computed",
      share_of(sample.repeated_unrepeatable, sample.requests.size()));
  advice.commands = {R"(in the request: "cache": {"mode": "exact"}, or "temperature": 0)"};
  advice.loss = "repeated questions get the same answer instead of a new one";
  advice.caution = "only where a new answer to the same question is not wanted";
  Variation variation = predictor.present();
  variation.engine.response_cache_bytes =
      std::max(variation.engine.response_cache_bytes, kDefaultCacheBytes);
  variation.engine.repeats_all = true;
  predictor.predict(variation, AdviceMetric::kThroughput, advice);
  add(std::move(advice));
}

void Maker::prefix_cache() {
  const ReplayEngine& now = facts().engine;
  if (!now.has_prefix_cache) {
    Advice advice;
    advice.action = AdviceAction::kPrefixCache;
    Variation variation = predictor.present();
    variation.engine.has_prefix_cache = true;
    const ReplayOutcome then = predictor.paced(variation, 1);
    if (then.cached_tokens <= 0) return;
    advice.title = "Keep prefixes of prompts";
    advice.evidence = fmt::format(
        "{:.1f} % of all prompt tokens stand at the beginning of a prompt that was "
        "computed before; the prefix cache is off",
        100 * then.cached_tokens / then.prompt_tokens);
    advice.commands = {serve("(without --no-prefix-cache)")};
    advice.change = Json({{"options", {{"prefix_cache", true}}}}).dump();
    advice.loss = "none: texts are the same either way";
    predictor.predict(variation, AdviceMetric::kThroughput, advice);
    return add(std::move(advice));
  }
  // The smallest size that has nearly all that more memory could give.
  constexpr double kNearly = 0.95;
  const auto cached = [&](std::size_t tokens) {
    Variation variation = predictor.present();
    variation.engine.cache_tokens = tokens;
    return predictor.paced(variation, 1).cached_tokens;
  };
  const double present = predictor.present_paced().cached_tokens;
  const double most = cached(now.cache_tokens * 16);
  if (most <= present * 1.01) return;
  std::size_t tokens = now.cache_tokens * 2;
  while (tokens < now.cache_tokens * 16 && cached(tokens) < present + kNearly * (most - present)) {
    tokens *= 2;
  }
  Advice advice;
  advice.action = AdviceAction::kPrefixCache;
  advice.title = fmt::format("Make room for {} tokens of keys and values", tokens);
  advice.evidence = fmt::format(
      "prompts begin alike more often than {} tokens of cache can keep: {:.1f} % of prompt tokens "
      "would be found there instead of {:.1f} %",
      now.cache_tokens, 100 * cached(tokens) / predictor.present_paced().prompt_tokens,
      100 * present / predictor.present_paced().prompt_tokens);
  advice.commands = {serve(fmt::format("--cache-tokens {}", tokens))};
  advice.change = Json({{"options", {{"cache_tokens", tokens}}}}).dump();
  advice.loss = "none: texts are the same either way";
  Variation variation = predictor.present();
  variation.engine.cache_tokens = tokens;
  predictor.predict(variation, AdviceMetric::kThroughput, advice);
  const double more = static_cast<double>(tokens - now.cache_tokens) * facts().kv_bytes_per_token;
  if (options.free_bytes > 0 && more > options.free_bytes) {
    advice.is_recommended = false;
    advice.caution = fmt::format("it takes {:.0f} MB more, {:.0f} MB are free", more / kMegabyte,
                                 options.free_bytes / kMegabyte);
  }
  add(std::move(advice));
}

void Maker::weight_types() {
  for (const WeightCandidate& candidate : options.candidates) {
    Advice advice;
    advice.action = AdviceAction::kWeightType;
    advice.title = fmt::format("Serve weights in {}", candidate.name);
    const StepRatios& steps = candidate.steps;
    const auto step_ms = [&](double tokens) {
      return 1e3 * predictor.correction() * sample.steps.fixed_seconds(tokens, tokens);
    };
    advice.evidence = fmt::format(
        "weights take {:.0f} MB, a step {:.2f} ms for one answer and {:.2f} ms for 8; in {} they "
        "would take {:.0f} MB, {:.2f} ms and {:.2f} ms (steps of both timed here, in turns; "
        "prompts "
        "{:.2f} times as long)",
        facts().weight_bytes / kMegabyte, step_ms(1), step_ms(8), candidate.name,
        candidate.weight_bytes / kMegabyte, step_ms(1) * steps.at(1, 1),
        step_ms(8) * steps.at(8, 8), steps.at(128, 1));
    if (candidate.path.empty()) {
      const std::string file = fmt::format("model-{}.gguf", candidate.name);
      advice.commands = {
          fmt::format("paring quantize {} {} --type {}", facts().path, file, candidate.name),
          fmt::format("paring serve {}", file)};
    } else {
      advice.commands = {fmt::format("paring serve {}", candidate.path)};
      advice.change = Json({{"path", candidate.path}}).dump();
    }
    advice.loss = candidate.loss;
    Variation variation = predictor.present();
    if (candidate.kv_bytes_per_token > 0) {
      variation.kv_bytes_per_token = candidate.kv_bytes_per_token;
    }
    // All of a step, attention too: what each part takes by itself cannot be told from steps in
    // which tokens and positions grow together. They were timed behind as many tokens as stand in
    // front of these on average, mean_depth().
    variation.cost = [this, &steps](const engine::StepShape& shape) {
      return std::max(predictor.step_seconds(shape) * steps.at(shape.tokens, shape.rows), 1e-6);
    };
    variation.memory_change = candidate.weight_bytes - facts().weight_bytes;
    predictor.predict(variation, AdviceMetric::kThroughput, advice);
    add(std::move(advice));
  }
}

// Bytes of a value against those of Q8, scales included.
double kv_share(const std::string& type) {
  if (type == "f32") return 3.56;
  if (type == "f16" || type == "bf16") return 1.78;
  return type == "q4" ? 0.78 : 1;
}

void Maker::kv_type() {
  const std::string& now = facts().kv_type;
  const std::string next = now == "q8" ? "q4" : now == "q4" ? "" : "q8";
  if (next.empty()) return;
  const double share = kv_share(next) / kv_share(now);
  const double saved =
      (1 - share) * facts().kv_bytes_per_token * static_cast<double>(facts().engine.cache_tokens);
  Advice advice;
  advice.action = AdviceAction::kKvType;
  advice.title = fmt::format("Keep keys and values in {}", next);
  advice.evidence = fmt::format(
      "the cache of keys and values is {} tokens of {:.1f} kB in {}: {:.0f} MB less in {}",
      facts().engine.cache_tokens, facts().kv_bytes_per_token / 1e3, now, saved / kMegabyte, next);
  advice.commands = {serve("--kv-type " + next)};
  advice.change = Json({{"options", {{"kv_type", next}}}}).dump();
  advice.loss = fmt::format(
      "not predicted; measure it: paring eval {0} --kv-type {1} --against {0}", facts().path, next);
  Variation variation = predictor.present();
  variation.cost = [this, share](const engine::StepShape& shape) {
    engine::StepShape less = shape;
    less.decode_positions *= share;
    return std::max(predictor.step_seconds(less), 1e-6);
  };
  variation.kv_bytes_per_token *= share;
  predictor.predict(variation, AdviceMetric::kMemory, advice);
  // Nobody gives up quality for memory that is not short.
  if (advice.is_recommended) {
    advice.is_recommended = options.free_bytes > 0 && options.free_bytes < saved;
    if (!advice.is_recommended) advice.caution = "memory is not short";
  }
  add(std::move(advice));
}

void Maker::sequences() {
  const std::size_t now = facts().engine.sequences_max;
  std::size_t best = now;
  double most = predictor.present_outcome().answer_tokens_per_second();
  // More at once than there are clients changes nothing.
  for (std::size_t count = 1; count <= 2 * std::max(now, predictor.clients()); count *= 2) {
    if (count == now || (count > predictor.clients() && now > predictor.clients())) continue;
    Variation variation = predictor.present();
    variation.engine.sequences_max = count;
    const ReplayOutcome then = replay(predictor.requests(), variation.engine, variation.cost,
                                      {.clients = predictor.clients()});
    if (then.answer_tokens_per_second() > most * (1 + kGainMin)) {
      most = then.answer_tokens_per_second();
      best = count;
    }
  }
  if (best == now) return;
  Advice advice;
  advice.action = AdviceAction::kSequences;
  advice.title = fmt::format("Compute {} answers together", best);
  advice.evidence = fmt::format("at most {} are computed together, {} clients want one", now,
                                predictor.clients());
  advice.commands = {serve(fmt::format("--sequences-max {}", best))};
  advice.change = Json({{"options", {{"sequences_max", best}}}}).dump();
  advice.loss = "none: texts are the same either way";
  Variation variation = predictor.present();
  variation.engine.sequences_max = best;
  predictor.predict(variation, AdviceMetric::kThroughput, advice);
  add(std::move(advice));
}

void Maker::speculation() {
  std::size_t drafted = 0;
  std::size_t accepted = 0;
  for (const ReplayRequest& request : predictor.requests()) {
    drafted += request.drafted;
    accepted += request.accepted;
  }
  constexpr std::size_t kEnough = 100;
  if (!facts().has_speculation || drafted < kEnough) return;
  Advice advice;
  advice.action = AdviceAction::kSpeculation;
  advice.title = "Do not guess tokens ahead";
  advice.evidence = fmt::format("{} guesses were right", share_of(accepted, drafted));
  advice.commands = {serve("--no-speculation")};
  advice.change = Json({{"options", {{"speculation", false}}}}).dump();
  advice.loss = "none: texts are the same either way";
  Variation variation = predictor.present();
  variation.change = [](ReplayRequest& request) { request.drafted = request.accepted = 0; };
  predictor.predict(variation, AdviceMetric::kThroughput, advice);
  if (advice.gain > 0) add(std::move(advice));
}

void Maker::context_trimming() {
  std::vector<double> lengths;
  double all = 0;
  for (const ReplayRequest& request : predictor.requests()) {
    lengths.push_back(static_cast<double>(request.prompt_tokens));
    all += lengths.back();
  }
  std::ranges::sort(lengths);
  constexpr double kShortest = 256;
  const double cap = std::max(2 * measure::quantile(lengths, 0.5), kShortest);
  double beyond = 0;
  std::size_t longer = 0;
  for (const double length : lengths) {
    beyond += std::max(length - cap, 0.0);
    longer += length > cap ? 1 : 0;
  }
  constexpr double kWorthIt = 0.1;
  if (beyond < kWorthIt * all) return;
  const auto tokens = static_cast<std::size_t>(cap);
  Advice advice;
  advice.action = AdviceAction::kContextTrimming;
  advice.title = fmt::format("Give {} tokens of context at most", tokens);
  advice.evidence = fmt::format(
      "{} prompts are longer than {} tokens, twice the median; what is beyond is {:.0f} % of all "
      "prompt tokens",
      share_of(longer, lengths.size()), tokens, 100 * beyond / all);
  advice.commands = {"retrieve fewer or shorter passages, or drop the oldest turns"};
  advice.loss = "what is cut is not known to the answer";
  advice.caution = "look first whether answers need it: paring diagnose --badly-rated";
  Variation variation = predictor.present();
  variation.change = [tokens](ReplayRequest& request) {
    if (request.prompt_tokens <= tokens) return;
    request.prompt_tokens = tokens;
    request.blocks.resize(std::min(request.blocks.size(), tokens / store::kTrafficBlockTokens));
  };
  predictor.predict(variation, AdviceMetric::kThroughput, advice);
  advice.is_recommended = false;
  add(std::move(advice));
}

void Maker::replicas() {
  const ReplayOutcome& now = predictor.present_paced();
  if (now.wall_s <= 0) return;
  const double busy = now.busy_s / now.wall_s;
  constexpr double kBusy = 0.6;
  if (busy < kBusy && now.queue_s < now.total_s / 4) return;
  const ReplayOutcome then = predictor.paced(predictor.present(), 2);
  Advice advice;
  advice.action = AdviceAction::kReplicas;
  advice.title = "Serve with two replicas";
  advice.evidence = fmt::format(
      "the engine computes {:.0f} % of the time, and requests wait {:.0f} ms on average",
      100 * busy, 1e3 * now.queue_s);
  advice.commands = {"on another machine: " + serve("").substr(0, serve("").size() - 1),
                     "and share the requests between both, a session always to the same"};
  advice.loss = "none";
  advice.caution = "each replica costs as much as this one";
  if (now.first_token_s > 0) {
    predictor.add_metric(AdviceMetric::kFirstToken, now.first_token_s,
                         then.first_token_s / now.first_token_s, 0, advice);
  }
  if (now.gap_s > 0) {
    predictor.add_metric(AdviceMetric::kInterToken, now.gap_s, then.gap_s / now.gap_s, 0, advice);
  }
  predictor.judge(AdviceMetric::kFirstToken, advice);
  add(std::move(advice));
}

// Products scale with cores as far as arithmetic limits them; reading the weights does not.
void Maker::threads() {
  const std::size_t cores = options.usable_cores;
  const std::size_t now = facts().threads;
  if (cores == 0) return;
  const auto scaled = [&](std::size_t count) {
    constexpr double kTokensOfArithmetic = 16;
    const double ratio = static_cast<double>(now) / static_cast<double>(count);
    Variation variation = predictor.present();
    variation.cost = [this, ratio](const engine::StepShape& shape) {
      const double arithmetic =
          std::min(shape.tokens / kTokensOfArithmetic, 1.0) * 0.6 + 0.35;  // share that scales
      const double seconds = predictor.step_seconds(shape);
      return std::max(seconds * (arithmetic * ratio + 1 - arithmetic), 1e-6);
    };
    return variation;
  };
  if (now < cores) {
    Advice advice;
    advice.action = AdviceAction::kThreads;
    advice.title = fmt::format("Compute with {} threads", cores);
    advice.evidence = fmt::format("{} threads compute, the machine has {} cores", now, cores);
    advice.commands = {serve(fmt::format("--threads {}", cores))};
    advice.loss = "none: texts are the same either way";
    predictor.predict(scaled(cores), AdviceMetric::kThroughput, advice);
    return add(std::move(advice));
  }
  const ReplayOutcome& paced = predictor.present_paced();
  const double busy = paced.wall_s > 0 ? paced.busy_s / paced.wall_s : 0;
  constexpr double kIdle = 0.25;
  constexpr double kBusy = 0.6;
  if (busy >= kIdle && busy <= kBusy) return;
  const std::size_t count = busy > kBusy ? 2 * now : std::max<std::size_t>(now / 2, 1);
  if (count == now) return;
  Advice advice;
  advice.action = AdviceAction::kCores;
  advice.title = fmt::format("A machine with {} cores", count);
  advice.evidence =
      fmt::format("the engine computes {:.0f} % of the time on {} cores", 100 * busy, now);
  advice.commands = {
      fmt::format("move the server; --threads {} shows the effect of fewer here", count)};
  advice.loss = "none: texts are the same either way";
  predictor.predict(scaled(count), AdviceMetric::kThroughput, advice);
  if (count < now) {
    advice.caution = "cheaper, not faster: see what it does to the times";
    advice.is_recommended = false;
  }
  add(std::move(advice));
}

void Maker::memory() {
  const std::size_t pages = predictor.present_paced().pages_peak;
  const std::size_t room = facts().engine.cache_tokens;
  constexpr double kSpare = 1.25;
  const auto needed = std::max(
      static_cast<std::size_t>(kSpare * static_cast<double>(pages * store::kTrafficBlockTokens)),
      facts().context_tokens);
  const double saved =
      room > needed ? static_cast<double>(room - needed) * facts().kv_bytes_per_token : 0;
  if (predictor.memory_bytes() <= 0 || saved < 0.02 * predictor.memory_bytes()) return;
  Advice advice;
  advice.action = AdviceAction::kMemorySize;
  advice.title = fmt::format("Keep room for {} tokens of keys and values", needed);
  advice.evidence = fmt::format("at most {} of {} tokens of the cache were in use",
                                pages * store::kTrafficBlockTokens, room);
  advice.commands = {serve(fmt::format("--cache-tokens {}", needed))};
  advice.change = Json({{"options", {{"cache_tokens", needed}}}}).dump();
  advice.loss =
      "none: texts are the same either way; longer prompts than these wait or are refused";
  const double planned = facts().weight_bytes + facts().extra_bytes;
  predictor.add_metric(AdviceMetric::kMemory, planned, (planned - saved) / planned, 0, advice);
  predictor.judge(AdviceMetric::kMemory, advice);
  add(std::move(advice));
}

}  // namespace

AdviceReport advise_on(const TrafficSample& sample, const AdvisorOptions& options) {
  const Predictor predictor(sample, options);
  Maker maker{sample, options, predictor, {}};
  maker.response_cache();
  maker.repeats_that_are_sampled();
  maker.prefix_cache();
  maker.weight_types();
  maker.kv_type();
  maker.sequences();
  maker.speculation();
  maker.context_trimming();
  maker.replicas();
  maker.threads();
  maker.memory();
  std::ranges::stable_sort(maker.made, [](const Advice& a, const Advice& b) {
    return std::pair(a.is_recommended, a.gain_low) > std::pair(b.is_recommended, b.gain_low);
  });
  return {.clients = predictor.clients(),
          .present = predictor.present_outcome(),
          .present_paced = predictor.present_paced(),
          .correction = predictor.correction(),
          .advice = std::move(maker.made)};
}

}  // namespace paring::advise
