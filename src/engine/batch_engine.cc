// SPDX-License-Identifier: Apache-2.0
#include "engine/batch_engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "engine/detail/live_sequence.h"
#include "engine/request_metrics.h"

namespace paring::engine {

namespace {

// What a prompt gains on shorter ones with each step that it was part of, so that it does not
// starve, as a part of the largest number of prompt tokens beside those who generate.
constexpr std::size_t kAgingDivisor = 4;

model::ForwardShape shape_of(const BatchOptions& options) {
  return {.tokens_max = options.step_tokens,
          .context_tokens = options.context_tokens,
          .lora_rank = options.lora_rank};
}

model::KvCapacity capacity_of(const BatchOptions& options) {
  return {.tokens = options.cache_tokens,
          .step_tokens = options.step_tokens,
          .rewind_tokens = 0,
          .sequences = options.sequences_max};
}

// `base` for number 0; Fibonacci hashing spreads the other numbers over all values.
std::uint64_t spread(std::uint64_t base, std::uint64_t number) noexcept {
  return base ^ (number * 0x9e3779b97f4a7c15U);
}

}  // namespace

std::uint64_t stream_of(std::uint64_t id, std::size_t sample) noexcept {
  return spread(id, sample);
}

std::size_t BatchEngine::bytes_for(const model::BlockSpec& spec, const BatchOptions& options,
                                   std::size_t threads) {
  return model::Forward::bytes_for(spec, shape_of(options), threads) +
         model::KvPool::bytes_for(spec, options.kv_type, capacity_of(options));
}

BatchEngine::BatchEngine(const model::Model& model, const BatchOptions& options)
    : model_(model),
      view_(model),
      options_(options),
      prompt_budget_(options.mixed_prompt_tokens, options.mixed_step_ratio),
      meter_(matrix_loads(view_), model.spec(), options.kv_type) {}

BatchEngine::~BatchEngine() = default;

void SequenceListener::on_logprobs(std::size_t, const api::TokenLogprobs&) {}
void SequenceListener::on_scores(std::size_t, std::span<const api::TokenLogprobs>) {}

Result<std::unique_ptr<BatchEngine>> BatchEngine::create(const model::Model& model,
                                                         Executor& executor,
                                                         const BatchOptions& options,
                                                         std::unique_ptr<Speculator> speculator) {
  if (options.context_tokens < 2 || options.sequences_max == 0) {
    return invalid_argument("context_tokens must be at least 2, sequences_max at least 1");
  }
  if (options.cache_tokens < options.context_tokens) {
    return invalid_argument(fmt::format("cache_tokens is {}, less than the {} of one sequence",
                                        options.cache_tokens, options.context_tokens),
                            "raise cache_tokens or lower context_tokens");
  }
  if (options.step_tokens < options.sequences_max || options.mixed_prompt_tokens == 0 ||
      !(options.mixed_step_ratio > 1)) {
    return invalid_argument(
        fmt::format("step_tokens is {}, and each of {} sequences takes one", options.step_tokens,
                    options.sequences_max),
        "raise step_tokens or lower sequences_max; mixed_prompt_tokens is at least 1, "
        "mixed_step_ratio more than 1");
  }
  std::unique_ptr<BatchEngine> engine(new BatchEngine(model, options));
  PARING_TRY(engine->forward_, model::Forward::create(model.spec(), shape_of(options), executor));
  PARING_TRY(model::KvPool pool,
             model::KvPool::create(model.spec(), options.kv_type, capacity_of(options)));
  engine->pool_ = std::make_unique<model::KvPool>(std::move(pool));
  if (options.has_prefix_cache) engine->prefixes_ = std::make_unique<PrefixCache>(*engine->pool_);
  engine->speculator_ = std::move(speculator);
  return engine;
}

Result<void> BatchEngine::check(const SequenceRequest& request) const {
  PARING_TRY_VOID(check_sampling(request.sampling));
  if (request.prompt.empty()) return invalid_argument("the prompt is empty");
  if (request.samples == 0 || (request.max_tokens == 0 && !request.scored_from)) {
    return invalid_argument("max_tokens and the number of samples must be at least 1");
  }
  if (request.prompt.size() >= options_.context_tokens) {
    return invalid_argument(fmt::format("the prompt has {} tokens, the context has room for {}",
                                        request.prompt.size(), options_.context_tokens - 1),
                            "shorten it or raise the context");
  }
  const std::size_t vocabulary = model_.spec().vocabulary;
  const auto check_tokens = [&](const char* what, std::span<const std::int32_t> tokens) {
    for (const std::int32_t token : tokens) {
      if (token >= 0 && static_cast<std::size_t>(token) < vocabulary) continue;
      return Result<void>(invalid_argument(
          fmt::format("{} token {}, the vocabulary has {}", what, token, vocabulary),
          "it belongs to another tokenizer"));
    }
    return Result<void>();
  };
  PARING_TRY_VOID(check_tokens("the prompt holds", request.prompt));
  PARING_TRY_VOID(check_tokens("told_tokens holds", request.told_tokens));
  for (const api::TokenBias& entry : request.sampling.logit_bias) {
    PARING_TRY_VOID(check_tokens("logit_bias names", {&entry.token, 1}));
  }
  if (request.adapter != nullptr && request.adapter->rank_max() > options_.lora_rank) {
    return invalid_argument(
        fmt::format("the adapter {} has rank {}, the engine has room for {}",
                    request.adapter->path(), request.adapter->rank_max(), options_.lora_rank),
        "raise lora_rank");
  }
  if (waiting_.size() + request.samples > options_.waiting_max) {
    return exhausted(fmt::format("{} sequences wait already, the limit is {}", waiting_.size(),
                                 options_.waiting_max),
                     "try again later");
  }
  if (waiting_tokens_ + request.prompt.size() * request.samples > options_.waiting_tokens_max) {
    return exhausted(fmt::format("prompts of {} tokens wait already, the limit is {}",
                                 waiting_tokens_, options_.waiting_tokens_max),
                     "try again later");
  }
  return {};
}

Result<void> BatchEngine::submit(SequenceRequest request, SequenceListener& listener) {
  PARING_TRY_VOID(check(request));
  // With another adapter keys and values are others.
  if (request.adapter != nullptr) {
    request.prefix_scope = spread(request.prefix_scope, request.adapter->id());
  }
  const auto shared = std::make_shared<const SequenceRequest>(std::move(request));
  Live* leader = nullptr;
  for (std::size_t k = 0; k < shared->samples; ++k) {
    auto live = std::make_unique<Live>(shared, k, listener, *pool_);
    live->arrival = arrivals_++;
    live->result.usage.prompt_tokens = shared->prompt.size();
    live->submitted = system_clock().monotonic_seconds();
    if (shared->constraint) live->constraint = shared->constraint(k);
    shares_.arrive(shared->tenant, shared->weight);
    if (leader == nullptr) {
      leader = live.get();
    } else {
      live->leader = leader;
      leader->followers.push_back(live.get());
    }
    enqueue(std::move(live));
  }
  return {};
}

void BatchEngine::enqueue(std::unique_ptr<Live> live) {
  const auto place = std::find_if(waiting_.begin(), waiting_.end(),
                                  [&](const auto& other) { return live->is_before(*other); });
  waiting_tokens_ += live->request->prompt.size();
  waiting_.insert(place, std::move(live));
}

std::unique_ptr<BatchEngine::Live> BatchEngine::take_waiting(const Live* live) {
  const auto it = std::find_if(waiting_.begin(), waiting_.end(),
                               [&](const auto& other) { return other.get() == live; });
  std::unique_ptr<Live> taken = std::move(*it);
  waiting_.erase(it);
  waiting_tokens_ -= taken->request->prompt.size();
  return taken;
}

void BatchEngine::keep_prefix(const Live& live) {
  if (prefixes_ == nullptr) return;
  prefixes_->insert(live.request->prefix_scope, live.tokens, live.sequence);
}

void BatchEngine::end(Live& live, SequenceEnd how, Error error) {
  if (live.is_ended) return;
  live.is_ended = true;
  if (how != SequenceEnd::kFailed) keep_prefix(live);
  live.sequence.truncate(0);
  if (speculator_ != nullptr) speculator_->forget(live.arrival);
  live.result.end = how;
  live.result.error = std::move(error);
  live.result.usage.generated_tokens = live.generated();
  const double now = system_clock().monotonic_seconds();
  const double first = live.first_token > 0 ? live.first_token : now;
  live.result.queue_seconds = (live.admitted > 0 ? live.admitted : now) - live.submitted;
  live.result.usage.prefill_seconds = live.admitted > 0 ? first - live.admitted : 0;
  live.result.usage.decode_seconds = live.first_token > 0 ? now - live.first_token : 0;
  metrics().request_seconds.observe(now - live.submitted);
  observe_request(*live.request, live.sample, live.result);
  switch (how) {
    case SequenceEnd::kStopped:
      metrics().success_stop.add();
      break;
    case SequenceEnd::kMaxTokens:
    case SequenceEnd::kContextFull:
      metrics().success_length.add();
      break;
    case SequenceEnd::kCancelled:
      metrics().success_abort.add();
      break;
    case SequenceEnd::kDeadline:
    case SequenceEnd::kFailed:
      metrics().success_error.add();
      break;
  }
}

// Takes the ended out of both lists, then tells their listeners, who may submit.
void BatchEngine::sweep() {
  LiveList ended;
  const auto take = [&](auto& list) {
    for (auto& live : list) {
      if (live->is_ended) ended.push_back(std::move(live));
    }
    return std::erase(list, nullptr);
  };
  take(running_);
  const std::size_t ran = ended.size();
  take(waiting_);
  for (std::size_t i = ran; i < ended.size(); ++i) {
    waiting_tokens_ -= ended[i]->request->prompt.size();
  }
  for (const auto& live : ended) {
    for (Live* follower : live->followers) follower->leader = nullptr;
    if (live->leader != nullptr) std::erase(live->leader->followers, live.get());
  }
  for (const auto& live : ended) {
    shares_.leave(live->request->tenant);
    live->constraint.reset();
    live->listener.on_end(live->sample, live->result);
  }
}

// Those who are not wanted any more, and those whose time is over.
void BatchEngine::drop_cancelled() {
  const double now = system_clock().monotonic_seconds();
  const auto drop = [&](Live& live) {
    const double deadline = live.request->deadline;
    if (live.is_cancelled()) end(live, SequenceEnd::kCancelled);
    if (deadline > 0 && now >= deadline) end(live, SequenceEnd::kDeadline);
  };
  for (const auto& live : running_) drop(*live);
  for (const auto& live : waiting_) drop(*live);
  sweep();
}

// Whether a running sequence is about to compute more of this prompt than is cached: it is cheaper
// to wait for that than to compute it twice.
bool BatchEngine::waits_for_prefix(const Live& live) const {
  if (prefixes_ == nullptr || live.request->scored_from) return false;
  const std::size_t cached = prefixes_->match(live.request->prefix_scope, live.tokens);
  for (const auto& other : running_) {
    if (other->left() < 2 || other->request->prefix_scope != live.request->prefix_scope) continue;
    const auto [mine, theirs] = std::mismatch(live.tokens.begin(), live.tokens.end() - 1,
                                              other->tokens.begin(), other->tokens.end());
    const auto common = static_cast<std::size_t>(mine - live.tokens.begin());
    if (common / kernels::kPageTokens * kernels::kPageTokens > cached) return true;
  }
  return false;
}

// Whether free pages suffice for the known tokens of a sequence.
bool BatchEngine::has_room(const Live& live) const {
  for (std::size_t c = 0; c < pool_->class_count(); ++c) {
    std::size_t tokens = live.left();
    if (const std::size_t window = pool_->class_window(c); window != 0) {
      tokens = std::min(tokens, window + options_.step_tokens);
    }
    if (pool_->pages_free(c) < tokens / kernels::kPageTokens + 1) return false;
  }
  return true;
}

// Those who wait and could join, in the order of their turns: urgency, then what their tenants
// were given, counting those in front of them here, then arrival.
std::vector<BatchEngine::Live*> BatchEngine::turns() const {
  struct Tenant {
    double served;
    std::deque<Live*> waiting;
  };
  std::map<int, std::map<std::uint64_t, Tenant>, std::greater<>> by_urgency;
  for (const auto& live : waiting_) {
    if (live->leader != nullptr) continue;
    const std::uint64_t tenant = live->request->tenant;
    by_urgency[live->request->priority]
        .try_emplace(tenant, Tenant{shares_.served(tenant), {}})
        .first->second.waiting.push_back(live.get());
  }
  std::vector<Live*> result;
  const auto is_later = [](const Tenant* a, const Tenant* b) {
    if (a->served != b->served) return a->served > b->served;
    return a->waiting.front()->arrival > b->waiting.front()->arrival;
  };
  for (auto& [urgency, tenants] : by_urgency) {
    std::vector<Tenant*> heap;
    for (auto& [id, tenant] : tenants) heap.push_back(&tenant);
    std::make_heap(heap.begin(), heap.end(), is_later);
    while (!heap.empty()) {
      std::pop_heap(heap.begin(), heap.end(), is_later);
      Tenant& next = *heap.back();
      Live* live = next.waiting.front();
      next.waiting.pop_front();
      next.served += static_cast<double>(live->left()) / std::max(live->request->weight, 1e-6);
      result.push_back(live);
      if (next.waiting.empty()) {
        heap.pop_back();
      } else {
        std::push_heap(heap.begin(), heap.end(), is_later);
      }
    }
  }
  return result;
}

// Sets the last of the running back to wait, when `live` is more urgent than that.
bool BatchEngine::set_back_for(const Live& live) {
  if (running_.empty() || running_.back()->request->priority >= live.request->priority)
    return false;
  std::unique_ptr<Live> last = std::move(running_.back());
  running_.pop_back();
  preempt(*last);
  last->is_preempted = false;
  enqueue(std::move(last));
  return true;
}

// Gives `live` what is cached of it and sees to room for all that is known of it, so that it is not
// set back before it begins. False: there is none.
bool BatchEngine::let_in(Live& live) {
  while (running_.size() >= options_.sequences_max) {
    if (!set_back_for(live)) return false;
  }
  if (prefixes_ != nullptr) {
    const std::size_t cached =
        prefixes_->adopt(live.request->prefix_scope, live.adoptable(), live.sequence);
    if (live.generated() == 0) {
      live.result.usage.cached_tokens = cached;
      metrics().prefix_queries.add(live.tokens.size());
      metrics().prefix_hits.add(cached);
    }
  }
  while (!has_room(live) && !running_.empty()) {
    if (prefixes_ != nullptr && prefixes_->evict_one()) continue;
    if (set_back_for(live)) continue;
    live.sequence.truncate(0);
    return false;
  }
  while (!has_room(live) && prefixes_ != nullptr && prefixes_->evict_one()) {
  }
  return true;
}

// Lets waiting sequences join while there is room. Nobody overtakes the first that does not fit.
void BatchEngine::admit() {
  if (waiting_.empty()) return;
  for (Live* live : turns()) {
    if (waits_for_prefix(*live)) continue;
    if (!let_in(*live)) return;
    if (live->admitted == 0) live->admitted = system_clock().monotonic_seconds();
    std::unique_ptr<Live> joined = take_waiting(live);
    const auto place = std::find_if(running_.begin(), running_.end(),
                                    [&](const auto& other) { return joined->is_before(*other); });
    running_.insert(place, std::move(joined));
  }
}

// The last of the running, in their order, that holds pages.
BatchEngine::Live* BatchEngine::least_urgent_but(const Live& live) const {
  for (auto it = running_.rbegin(); it != running_.rend(); ++it) {
    Live& other = **it;
    if (&other == &live) return nullptr;  // all that come after it were asked
    if (!other.is_preempted && !other.is_ended && other.sequence.length() > 0) return &other;
  }
  return nullptr;
}

// Back to what the cache keeps of it.
void BatchEngine::preempt(Live& live) {
  live.sequence.truncate(live.sequence.length() - live.part);  // planned, not computed
  keep_prefix(live);
  live.sequence.truncate(0);
  live.part = 0;
  live.is_preempted = true;
  ++live.result.preemptions;
  metrics().preemptions.add();
}

// Grows a sequence: free pages, then forgotten prefixes, then those of less urgent sequences.
bool BatchEngine::make_room(Live& live, std::size_t tokens) {
  for (;;) {
    if (live.sequence.grow(tokens)) return true;
    if (prefixes_ != nullptr && prefixes_->evict_one()) continue;
    Live* victim = least_urgent_but(live);
    if (victim == nullptr) return false;
    preempt(*victim);
  }
}

// Who is computed first: those that generate, then prompts by urgency, those of which little is
// left first. A long one gains on them with each step, so that it does not starve.
std::vector<BatchEngine::Live*> BatchEngine::order() const {
  std::vector<Live*> generating;
  std::vector<Live*> prompts;
  for (const auto& live : running_) {
    live->part = 0;
    (live->left() > 1 ? prompts : generating).push_back(live.get());
  }
  const std::size_t gain = std::max<std::size_t>(1, options_.mixed_prompt_tokens / kAgingDivisor);
  const auto left = [gain](const Live& live) {
    return static_cast<std::ptrdiff_t>(live.left()) -
           static_cast<std::ptrdiff_t>(live.prompt_steps * gain);
  };
  std::stable_sort(prompts.begin(), prompts.end(), [&](const Live* a, const Live* b) {
    const int mine = a->request->priority;
    const int theirs = b->request->priority;
    return mine != theirs ? mine > theirs : left(*a) < left(*b);
  });
  generating.insert(generating.end(), prompts.begin(), prompts.end());
  return generating;
}

// Gives each running sequence its part of the step.
std::vector<BatchEngine::Live*> BatchEngine::plan() {
  std::size_t budget = options_.step_tokens;
  std::size_t prompt_budget = budget;
  std::size_t generating = 0;
  for (Live* live : order()) {
    if (live->is_preempted || live->is_ended) continue;
    const bool is_prompt = live->left() > 1;
    std::size_t tokens = std::min(live->left(), budget);
    if (is_prompt) tokens = std::min(tokens, prompt_budget);
    if (is_prompt) ++live->prompt_steps;
    if (tokens == 0) continue;
    if (!make_room(*live, tokens)) {
      preempt(*live);
      continue;
    }
    live->part = tokens;
    budget -= tokens;
    if (is_prompt) {
      prompt_budget -= tokens;
    } else {
      prompt_budget = std::min(budget, prompt_budget_.tokens(++generating));
    }
  }
  std::vector<Live*> parts;
  for (const auto& live : running_) {
    if (live->part > 0) parts.push_back(live.get());
  }
  for (auto& live : running_) {
    if (!live->is_preempted) continue;
    live->is_preempted = false;
    enqueue(std::move(live));
  }
  std::erase(running_, nullptr);
  return parts;
}

bool BatchEngine::step() {
  drop_cancelled();
  admit();
  if (running_.empty() && waiting_.empty()) return false;
  const std::vector<Live*> parts = plan();
  // One sequence alone always fits: create() and check() saw to it.
  PARING_CHECK(!parts.empty(), "a step computes at least one token");
  speculate(parts);
  compute(parts);
  sweep();
  return true;
}

void BatchEngine::clear_prefixes() {
  if (prefixes_ != nullptr) prefixes_->clear();
}

}  // namespace paring::engine
