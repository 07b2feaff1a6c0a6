// SPDX-License-Identifier: Apache-2.0
#include "advise/replay/replay.h"

#include <algorithm>
#include <deque>
#include <list>
#include <memory>
#include <queue>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "advise/replay/prefix_pages.h"
#include "base/check.h"
#include "engine/prompt_budget.h"
#include "kernels/ops.h"
#include "measure/statistics.h"

namespace paring::advise {

namespace {

constexpr std::size_t kPage = kernels::kPageTokens;
// As the engine: how fast a prompt gains on shorter ones.
constexpr std::size_t kAgingDivisor = 4;

// A request on its way.
struct Live {
  const ReplayRequest* request = nullptr;
  std::size_t index = 0;
  double arrived = 0;
  double admitted = 0;
  double first_token = -1;
  std::size_t done = 0;  // tokens of the prompt, cached ones included
  double generated = 0;
  double gain = 0;          // tokens that a step gives
  double guesses = 0;       // that a step checks
  std::size_t adopted = 0;  // blocks of the cache
  std::size_t own_pages = 0;
  std::size_t kept = 0;  // blocks that are pinned
  std::size_t part = 0;  // of the prompt, in this step
  std::size_t prompt_steps = 0;

  std::size_t left() const { return request->prompt_tokens - done; }
  bool generates() const { return left() == 0; }
  std::size_t answer() const { return std::max<std::size_t>(request->answer_tokens, 1); }
  double context() const { return static_cast<double>(request->prompt_tokens) + generated; }
};

// Answers that were given, the least recently used first to go.
class Answers {
 public:
  Answers(double bytes_max, double seconds_max) : bytes_max_(bytes_max), seconds_(seconds_max) {}
  bool find(std::uint64_t key, double now) {
    const auto found = places_.find(key);
    if (found == places_.end()) return false;
    if (now - found->second->computed > seconds_) {
      drop(found->second);
      return false;
    }
    entries_.splice(entries_.begin(), entries_, found->second);
    return true;
  }
  void keep(std::uint64_t key, double now, double bytes) {
    if (bytes > bytes_max_) return;
    if (const auto found = places_.find(key); found != places_.end()) drop(found->second);
    entries_.push_front({key, now, bytes});
    places_[key] = entries_.begin();
    held_ += bytes;
    while (held_ > bytes_max_) drop(std::prev(entries_.end()));
  }

 private:
  struct Entry {
    std::uint64_t key;
    double computed;
    double bytes;
  };
  using Place = std::list<Entry>::iterator;
  void drop(Place place) {
    held_ -= place->bytes;
    places_.erase(place->key);
    entries_.erase(place);
  }
  double bytes_max_;
  double seconds_;
  double held_ = 0;
  std::list<Entry> entries_;
  std::unordered_map<std::uint64_t, Place> places_;
};

class Run {
 public:
  Run(std::span<const ReplayRequest> requests, const ReplayEngine& engine, const StepCost& cost,
      const ReplayLoad& load)
      : requests_(requests),
        engine_(engine),
        cost_(cost),
        load_(load),
        pages_(std::max<std::size_t>(engine.cache_tokens / kPage, 1)),
        budget_(engine.mixed_prompt_tokens, engine.mixed_step_ratio),
        answers_(engine.response_cache_bytes, engine.response_cache_s) {}

  ReplayOutcome run() {
    begin();
    while (!coming_.empty() || !waiting_.empty() || !running_.empty()) {
      arrive();
      admit();
      if (running_.empty()) {
        if (coming_.empty()) break;
        now_ = std::max(now_, coming_.top().first);
        continue;
      }
      step();
    }
    return finish();
  }

 private:
  using LivePtr = std::shared_ptr<Live>;
  using Coming = std::pair<double, std::size_t>;  // when, which

  void begin() {
    const std::size_t first =
        load_.clients == 0 ? requests_.size() : std::min(load_.clients, requests_.size());
    for (std::size_t i = 0; i < first; ++i) {
      coming_.push({load_.clients == 0 ? requests_[i].arrival_s : 0, i});
    }
    next_ = first;
    outcome_.requests = requests_.size();
  }

  bool may_repeat(const ReplayRequest& request) const {
    return engine_.response_cache_bytes > 0 && request.key != 0 &&
           (request.is_repeatable || engine_.repeats_all);
  }

  void arrive() {
    while (!coming_.empty() && coming_.top().first <= now_) {
      const auto [time, index] = coming_.top();
      coming_.pop();
      const ReplayRequest& request = requests_[index];
      outcome_.answer_tokens += static_cast<double>(request.answer_tokens);
      if (may_repeat(request)) {
        if (answers_.find(request.key, time)) {
          ++outcome_.given_again;
          end(request, time, time, time);
          continue;
        }
        const auto flying = in_flight_.find(request.key);
        if (flying != in_flight_.end()) {
          ++outcome_.given_again;
          flying->second.push_back({time, index});
          continue;
        }
        in_flight_[request.key];
      }
      auto live = std::make_shared<Live>();
      live->request = &request;
      live->index = index;
      live->arrived = time;
      const double steps = std::max(
          static_cast<double>(live->answer() - 1) - static_cast<double>(request.accepted), 1.0);
      live->gain = std::max(static_cast<double>(live->answer() - 1), 1.0) / steps;
      live->guesses = static_cast<double>(request.drafted) / steps;
      outcome_.prompt_tokens += static_cast<double>(request.prompt_tokens);
      waiting_.push_back(std::move(live));
    }
  }

  // Another that computes the same beginning now will have it cached soon.
  bool waits_for_prefix(const Live& live) const {
    if (!engine_.has_prefix_cache) return false;
    const std::vector<std::uint32_t>& mine = live.request->blocks;
    const std::size_t cached = usable(live);
    for (const LivePtr& other : running_) {
      if (other->left() < 2) continue;
      const std::vector<std::uint32_t>& theirs = other->request->blocks;
      std::size_t common = 0;
      while (common < mine.size() && common < theirs.size() && mine[common] == theirs[common]) {
        ++common;
      }
      if (common > cached) return true;
    }
    return false;
  }

  // Never all of the prompt: its last token is computed for its logits.
  std::size_t usable(const Live& live) const {
    const std::size_t whole = (live.request->prompt_tokens - 1) / kPage;
    return std::min(pages_.match(live.request->blocks), whole);
  }

  bool let_in(Live& live) {
    if (running_.size() >= engine_.sequences_max) return false;
    const std::span<const std::uint32_t> blocks = live.request->blocks;
    if (engine_.has_prefix_cache) {
      live.adopted = usable(live);
      pages_.pin(blocks, live.adopted);
    }
    // All that its prompt and its answer will need at their ends, so that nobody is set back.
    const std::size_t tokens = live.request->prompt_tokens + live.answer();
    const std::size_t needed = (tokens + kPage - 1) / kPage - live.adopted;
    if (!pages_.take(needed)) {
      if (!running_.empty()) {
        pages_.unpin(blocks, live.adopted);
        live.adopted = 0;
        return false;
      }
      live.own_pages = 0;  // larger than the cache: computed all the same
    } else {
      live.own_pages = needed;
    }
    live.kept = live.adopted;
    live.done = live.adopted * kPage;
    outcome_.cached_tokens += static_cast<double>(live.done);
    outcome_.pages_peak = std::max(outcome_.pages_peak, pages_.held());
    live.admitted = now_;
    return true;
  }

  void admit() {
    for (std::size_t i = 0; i < waiting_.size();) {
      const LivePtr live = waiting_[i];
      if (waits_for_prefix(*live)) {
        ++i;
        continue;
      }
      if (!let_in(*live)) return;
      running_.push_back(live);
      waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }

  engine::StepShape plan() {
    engine::StepShape shape;
    std::size_t generating = 0;
    std::vector<Live*> prompts;
    for (const LivePtr& live : running_) {
      live->part = 0;
      if (!live->generates()) {
        prompts.push_back(live.get());
        continue;
      }
      ++generating;
      shape.tokens += 1 + live->guesses;
      shape.rows += 1 + live->guesses;
      shape.decode_positions += (1 + live->guesses) * (live->context() + 0.5);
    }
    std::size_t budget =
        engine_.step_tokens - std::min(engine_.step_tokens, static_cast<std::size_t>(shape.tokens));
    if (generating > 0) budget = std::min(budget, budget_.tokens(generating));
    const auto gain = static_cast<std::ptrdiff_t>(
        std::max<std::size_t>(1, engine_.mixed_prompt_tokens / kAgingDivisor));
    const auto rank = [gain](const Live* live) {
      return static_cast<std::ptrdiff_t>(live->left()) -
             static_cast<std::ptrdiff_t>(live->prompt_steps) * gain;
    };
    std::stable_sort(prompts.begin(), prompts.end(),
                     [&](const Live* a, const Live* b) { return rank(a) < rank(b); });
    prompt_tokens_ = 0;
    for (Live* live : prompts) {
      ++live->prompt_steps;
      live->part = std::min(live->left(), budget);
      if (live->part == 0) continue;
      budget -= live->part;
      prompt_tokens_ += live->part;
      const auto tokens = static_cast<double>(live->part);
      shape.tokens += tokens;
      shape.prefill_positions += tokens * (static_cast<double>(live->done) + tokens / 2);
      if (live->part == live->left()) ++shape.rows;
    }
    generating_ = generating;
    return shape;
  }

  void step() {
    const engine::StepShape shape = plan();
    const double seconds = cost_(shape);
    PARING_CHECK(seconds > 0, "a step takes time");
    now_ += seconds;
    ++outcome_.steps;
    outcome_.busy_s += seconds;
    outcome_.running += static_cast<double>(running_.size()) * seconds;
    budget_.observe(generating_, prompt_tokens_, seconds);
    std::vector<LivePtr> ended;
    for (const LivePtr& live : running_) {
      if (live->generates() && live->part == 0) {
        live->generated += live->gain;
      } else {
        live->done += live->part;
        if (!live->generates()) continue;
        live->first_token = now_;
        live->generated = 1;
        keep_prompt(*live);
      }
      if (live->generated + 1e-9 >= static_cast<double>(live->answer())) ended.push_back(live);
    }
    for (const LivePtr& live : ended) {
      std::erase(running_, live);
      leave(*live);
    }
  }

  void keep_prompt(Live& live) {
    if (!engine_.has_prefix_cache) return;
    const std::span<const std::uint32_t> blocks = live.request->blocks;
    const std::size_t whole = std::min(blocks.size(), live.request->prompt_tokens / kPage);
    if (live.own_pages < whole - std::min(whole, live.adopted)) return;  // had no room
    pages_.keep(blocks.first(whole), live.adopted);
    live.own_pages -= whole - live.adopted;
    live.kept = whole;
  }

  void leave(Live& live) {
    const ReplayRequest& request = *live.request;
    const std::size_t whole = (request.prompt_tokens + live.answer() - 1) / kPage;
    const std::size_t answers = std::min(live.own_pages, whole - std::min(whole, live.kept));
    if (engine_.has_prefix_cache) {
      // Equal requests with equal answers share those pages too.
      const bool is_new =
          request.key == 0 || !request.is_repeatable || answered_.insert(request.key).second;
      if (is_new) pages_.keep_unknown(answers);
      pages_.give_back(live.own_pages - (is_new ? answers : 0));
    } else {
      pages_.give_back(live.own_pages);
    }
    pages_.unpin(request.blocks, live.kept);
    outcome_.computed_answer_tokens += static_cast<double>(request.answer_tokens);
    gap_s_ += now_ - live.first_token;
    gaps_ += static_cast<double>(live.answer() - 1);
    outcome_.queue_s += live.admitted - live.arrived;
    end(request, live.arrived, live.first_token, now_);
    if (!may_repeat(request)) return;
    answers_.keep(request.key, now_,
                  ReplayEngine::kAnswerBytes +
                      ReplayEngine::kTokenBytes * static_cast<double>(request.answer_tokens));
    const auto joined = in_flight_.extract(request.key);
    for (const auto& [time, index] : joined.mapped()) {
      end(requests_[index], time, std::max(live.first_token, time), now_);
    }
  }

  // An answer is there; its client sends the next request.
  void end(const ReplayRequest& request, double arrived, double first_token, double time) {
    first_tokens_.push_back(first_token - arrived + request.overhead_s);
    outcome_.total_s += time - arrived + request.overhead_s;
    end_ = std::max(end_, time + request.overhead_s);
    if (load_.clients == 0 || next_ >= requests_.size()) return;
    coming_.push({time + request.overhead_s, next_++});
  }

  ReplayOutcome finish() {
    const double count = std::max(static_cast<double>(requests_.size()), 1.0);
    outcome_.wall_s = end_ - (requests_.empty() || load_.clients > 0 ? 0 : requests_[0].arrival_s);
    outcome_.gap_s = gaps_ > 0 ? gap_s_ / gaps_ : 0;
    outcome_.total_s /= count;
    outcome_.queue_s /= count;
    if (outcome_.busy_s > 0) outcome_.running /= outcome_.busy_s;
    if (!first_tokens_.empty()) {
      std::ranges::sort(first_tokens_);
      outcome_.first_token_p95_s = measure::quantile(first_tokens_, 0.95);
      outcome_.first_token_s = measure::moments(first_tokens_).mean;
    }
    return outcome_;
  }

  std::span<const ReplayRequest> requests_;
  const ReplayEngine& engine_;
  const StepCost& cost_;
  const ReplayLoad& load_;
  PrefixPages pages_;
  engine::PromptBudget budget_;
  Answers answers_;
  std::unordered_map<std::uint64_t, std::vector<Coming>> in_flight_;  // who waits for an equal one
  std::unordered_set<std::uint64_t> answered_;  // keys whose answers' pages were kept
  std::priority_queue<Coming, std::vector<Coming>, std::greater<>> coming_;
  std::deque<LivePtr> waiting_;
  std::vector<LivePtr> running_;
  std::size_t next_ = 0;  // request that no client has sent yet
  double now_ = 0;
  double end_ = 0;
  std::size_t generating_ = 0;     // of the step
  std::size_t prompt_tokens_ = 0;  // likewise
  double gap_s_ = 0;
  double gaps_ = 0;
  std::vector<double> first_tokens_;
  ReplayOutcome outcome_;
};

}  // namespace

ReplayOutcome replay(std::span<const ReplayRequest> requests, const ReplayEngine& engine,
                     const StepCost& cost, const ReplayLoad& load) {
  return Run(requests, engine, cost, load).run();
}

}  // namespace paring::advise
