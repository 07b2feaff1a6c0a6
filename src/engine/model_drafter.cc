// SPDX-License-Identifier: Apache-2.0
#include "engine/model_drafter.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "base/text.h"
#include "engine/finite.h"

namespace paring::engine {

namespace {

// Tokens of a sequence that one step reads.
constexpr std::size_t kReadTokens = 256;
// Reading so few tokens is part of every round: what the last step accepted.
constexpr std::size_t kRoundTokens = 32;

model::ForwardShape shape_of(const ModelDrafterOptions& options) {
  return {
      .tokens_max = std::max(std::min(kReadTokens, options.context_tokens), options.sequences_max),
      .context_tokens = options.context_tokens};
}

model::KvCapacity capacity_of(const ModelDrafterOptions& options) {
  return {.tokens = options.cache_tokens,
          .step_tokens = shape_of(options).tokens_max,
          .rewind_tokens = options.tokens_max,
          .sequences = options.sequences_max};
}

bool is_filler(std::string_view spelling, std::size_t id) {
  return spelling == fmt::format("[PAD{}]", id);
}

// By how far the logit of `token` is above all others.
std::uint8_t certainty_of(std::span<const float> logits, std::int32_t token) {
  float other = -std::numeric_limits<float>::infinity();
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] > other && i != static_cast<std::size_t>(token)) other = logits[i];
  }
  const float margin = logits[static_cast<std::size_t>(token)] - other;
  constexpr float kBounds[] = {0.0F, 0.5F, 1.0F, 1.5F, 2.0F, 3.0F, 4.0F, 6.0F, 8.0F, 11.0F};
  std::uint8_t step = 0;
  while (step < std::size(kBounds) && margin >= kBounds[step]) ++step;
  return step;
}

}  // namespace

Result<void> check_same_vocabulary(const text::Tokenizer& model, const text::Tokenizer& draft) {
  const std::size_t most = std::max(model.vocab_size(), draft.vocab_size());
  for (std::size_t id = 0; id < most; ++id) {
    const auto token = static_cast<std::int32_t>(id);
    const std::string_view ours = model.spelling(token);
    const std::string_view theirs = draft.spelling(token);
    if (ours == theirs || is_filler(ours, id) || is_filler(theirs, id)) continue;
    return invalid_argument(
        fmt::format(
            "the draft model has another vocabulary: token {} is '{}' there and '{}' in the "
            "model",
            id, escape_control(theirs), escape_control(ours)),
        "a draft model is a smaller one of the same family, made with the same tokenizer");
  }
  return {};
}

std::size_t ModelDrafter::bytes_for(const model::BlockSpec& draft,
                                    const ModelDrafterOptions& options, std::size_t threads) {
  return model::Forward::bytes_for(draft, shape_of(options), threads) +
         model::KvPool::bytes_for(draft, options.kv_type, capacity_of(options));
}

Result<std::unique_ptr<ModelDrafter>> ModelDrafter::create(const model::Model& draft,
                                                           const model::Model& model,
                                                           Executor& executor,
                                                           const ModelDrafterOptions& options) {
  std::unique_ptr<ModelDrafter> drafter(new ModelDrafter(draft, options));
  PARING_TRY(drafter->forward_, model::Forward::create(draft.spec(), shape_of(options), executor));
  PARING_TRY(model::KvPool pool,
             model::KvPool::create(draft.spec(), options.kv_type, capacity_of(options)));
  drafter->pool_ = std::make_unique<model::KvPool>(std::move(pool));
  drafter->prefixes_ = std::make_unique<PrefixCache>(*drafter->pool_);
  drafter->size_share_ = static_cast<double>(draft.weight_bytes()) /
                         static_cast<double>(std::max<std::size_t>(model.weight_bytes(), 1));
  return drafter;
}

// Picks what each sequence that was read to its end goes on with.
class ModelDrafter::PickSink : public model::LogitsSink {
 public:
  explicit PickSink(std::vector<Job*> rows) : rows_(std::move(rows)) {}
  void consume(Worker& worker, const model::LogitsChunk& chunk) override {
    const Range mine = worker.split(chunk.rows);
    for (std::size_t r = mine.begin; r < mine.end; ++r) {
      Job& job = *rows_[chunk.first + r];
      const std::span<const float> logits(chunk.logits + r * chunk.vocabulary, chunk.vocabulary);
      job.picked.token = -1;
      if (!are_finite(logits)) continue;
      const std::vector<std::int32_t>& tokens = job.reading->tokens;
      job.picked.token = job.draft->sampler->sample(logits, tokens, tokens.size());
      job.picked.certainty = certainty_of(logits, job.picked.token);
    }
  }

 private:
  std::vector<Job*> rows_;
};

// Tokens of a sequence that are not read, or not any more.
std::size_t ModelDrafter::behind(const Draft& draft) const {
  const auto found = readings_.find(draft.sequence);
  if (found == readings_.end()) {
    return draft.tokens.size() - prefixes_->match(draft.prefix_scope, draft.tokens);
  }
  const std::size_t read = std::min(found->second.known, found->second.cache.length());
  return draft.tokens.size() - std::min(read, draft.tokens.size());
}

Drafter::Cost ModelDrafter::cost(std::span<Draft* const> drafts, const Speeds& model) const {
  std::size_t tokens = 0;
  for (const Draft* draft : drafts) {
    const std::size_t more = behind(*draft);
    if (more > kRoundTokens) tokens += more;
  }
  const double round = rounds_.seconds(drafts.size(), drafts.size());
  const double read =
      token_read_seconds_ > 0 ? token_read_seconds_ : size_share_ * model.prompt_token_seconds;
  return {.round_seconds = round > 0 ? round : size_share_ * model.step_seconds,
          .catch_up_seconds = read * static_cast<double>(tokens)};
}

// What is read of the sequence, cut back to what it shares with what is known now.
ModelDrafter::Reading& ModelDrafter::meet(const Draft& draft) {
  Reading& reading = readings_.try_emplace(draft.sequence, *pool_).first->second;
  const std::size_t compared = std::min(reading.tokens.size(), draft.tokens.size());
  std::size_t same = std::min(reading.known, compared);
  while (same < compared && reading.tokens[same] == draft.tokens[same]) ++same;
  // The last token is always computed, for what follows it.
  const std::size_t kept = std::min({same, draft.tokens.size() - 1, reading.cache.length()});
  reading.cache.truncate(reading.cache.can_truncate(kept) ? kept : 0);
  reading.tokens.resize(same);
  const std::span<const std::int32_t> more = draft.tokens.subspan(same);
  reading.is_lost = reading.is_lost || std::any_of(more.begin(), more.end(), [&](std::int32_t t) {
                      return static_cast<std::size_t>(t) >= view_.spec().vocabulary;
                    });
  reading.tokens.insert(reading.tokens.end(), more.begin(), more.end());
  reading.known = reading.tokens.size();
  reading.prefix_scope = draft.prefix_scope;
  reading.asked = asked_;
  if (reading.cache.length() == 0)
    prefixes_->adopt(draft.prefix_scope, reading.tokens, reading.cache);
  return reading;
}

// Grows a cache; prefixes that nobody uses give way, then sequences that nobody asks about.
bool ModelDrafter::has_room(Reading& reading, std::size_t tokens) {
  while (!reading.cache.grow(tokens)) {
    if (prefixes_->evict_one()) continue;
    const auto idle = std::find_if(readings_.begin(), readings_.end(), [this](const auto& other) {
      return other.second.asked != asked_ && other.second.cache.length() > 0;
    });
    if (idle == readings_.end()) return false;
    idle->second.cache.truncate(0);
  }
  return true;
}

void ModelDrafter::run(std::span<Job*> parts) {
  std::vector<model::Segment> segments;
  std::vector<Job*> rows;
  for (Job* job : parts) {
    Reading& reading = *job->reading;
    const std::size_t done = reading.cache.length();
    const bool is_last = done == reading.tokens.size();
    segments.push_back(
        {&reading.cache,
         std::span<const std::int32_t>(reading.tokens).subspan(done - job->part, job->part),
         is_last ? std::size_t{1} : 0});
    if (is_last) rows.push_back(job);
  }
  PickSink sink(std::move(rows));
  model::ForwardOptions options;
  options.numerics = options_.numerics;
  options.sink = &sink;
  forward_->run(view_, segments, options);
}

// Those that have something left to read, with as much of it as one step takes.
std::vector<ModelDrafter::Job*> ModelDrafter::next_parts(std::vector<Job>& jobs) {
  std::vector<Job*> parts;
  std::size_t budget = shape_of(options_).tokens_max;
  for (Job& job : jobs) {
    Reading& reading = *job.reading;
    job.part = std::min(reading.tokens.size() - reading.cache.length(), budget);
    if (job.part == 0) continue;
    if (!has_room(reading, job.part)) {
      // A part of it alone is of no use.
      reading.cache.truncate(0);
      reading.tokens.clear();
      reading.known = 0;
      continue;
    }
    budget -= job.part;
    parts.push_back(&job);
  }
  return parts;
}

// Appends what was picked behind a sequence that is read to its end. Guesses that are wanted no
// more are not read.
void ModelDrafter::take(Job& job) {
  Reading& reading = *job.reading;
  if (reading.cache.length() < reading.tokens.size() || job.picked.token < 0) return;
  Draft& draft = *job.draft;
  draft.proposed.push_back(job.picked);
  if (!draft.chances.empty()) job.chance *= draft.chances[job.picked.certainty];
  const bool goes_on = draft.proposed.size() < draft.wanted && job.chance >= draft.chance_min;
  if (goes_on) reading.tokens.push_back(job.picked.token);
}

void ModelDrafter::propose(std::span<Draft* const> drafts) {
  ++asked_;
  std::vector<Job> jobs;
  for (Draft* draft : drafts) {
    if (draft->wanted == 0) continue;
    if (draft->tokens.size() + draft->wanted > options_.context_tokens) continue;
    Reading& reading = meet(*draft);
    if (!reading.is_lost) jobs.push_back({.draft = draft, .reading = &reading});
  }
  for (;;) {
    std::vector<Job*> parts = next_parts(jobs);
    if (parts.empty()) return;
    const double start = system_clock().monotonic_seconds();
    run(parts);
    const double seconds = system_clock().monotonic_seconds() - start;
    std::size_t tokens = 0;
    for (const Job* job : parts) tokens += job->part;
    if (tokens > kRoundTokens) token_read_seconds_ = seconds / static_cast<double>(tokens);
    if (tokens <= 2 * parts.size()) rounds_.observe(parts.size(), tokens, seconds);
    for (Job* job : parts) take(*job);
  }
}

void ModelDrafter::forget(std::uint64_t sequence) {
  const auto found = readings_.find(sequence);
  if (found == readings_.end()) return;
  const Reading& reading = found->second;
  prefixes_->insert(reading.prefix_scope, std::span(reading.tokens).first(reading.known),
                    reading.cache);
  readings_.erase(found);
}

}  // namespace paring::engine
