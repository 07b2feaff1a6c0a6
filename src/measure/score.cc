// SPDX-License-Identifier: Apache-2.0
#include "measure/score.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/clock.h"
#include "base/metrics.h"
#include "engine/sampler.h"
#include "kernels/ops.h"
#include "measure/tasks/detail/python_text.h"

namespace paring::measure {

namespace {

using Tokens = std::span<const std::int32_t>;

// Log-probability of one wanted token a row.
class TokenSink : public model::LogitsSink {
 public:
  explicit TokenSink(const std::vector<std::int32_t>& wanted)
      : log_probabilities(wanted.size()), is_top(wanted.size()), wanted_(wanted) {}

  void consume(Worker& worker, const model::LogitsChunk& chunk) override {
    const Range rows = worker.split(chunk.rows);
    for (std::size_t r = rows.begin; r < rows.end; ++r) {
      const float* logits = chunk.logits + r * chunk.vocabulary;
      const auto token = static_cast<std::size_t>(wanted_[chunk.first + r]);
      const double log_sum = kernels::kernels().log_sum_exp(logits, chunk.vocabulary);
      log_probabilities[chunk.first + r] = static_cast<double>(logits[token]) - log_sum;
      const std::int32_t top = engine::most_likely({logits, chunk.vocabulary});
      is_top[chunk.first + r] = static_cast<std::size_t>(top) == token ? 1 : 0;
    }
  }

  std::vector<double> log_probabilities;
  std::vector<std::uint8_t> is_top;  // not vector<bool>: workers write neighbours

 private:
  const std::vector<std::int32_t>& wanted_;
};

std::size_t in_pages(std::size_t tokens) {
  return (tokens + kernels::kPageTokens - 1) / kernels::kPageTokens * kernels::kPageTokens;
}

std::size_t pool_tokens(std::size_t context_tokens) {
  return in_pages(std::max(context_tokens, 2 * kScoreTokensMax));
}

Error not_finite(const std::string& path) {
  return corrupt(path + ": the model's output holds values that are not finite numbers",
                 "its weights are damaged or out of range; get the file again");
}

}  // namespace

// Tokens that continue a sequence. The last `wanted.size()` of them predict `wanted`.
struct Scorer::Part {
  model::KvSequence* sequence;
  std::vector<std::int32_t> tokens;
  Tokens wanted;
  Likelihood* result;  // added to
};

std::size_t Scorer::Unit::longest() const {
  std::size_t longest = 0;
  for (const Tokens continuation : continuations) longest = std::max(longest, continuation.size());
  return longest;
}

std::size_t Scorer::bytes_for(const model::BlockSpec& spec, const EvalOptions& eval,
                              std::size_t context_tokens, std::size_t threads) {
  return model::Forward::bytes_for(
             spec, {.tokens_max = kScoreTokensMax, .context_tokens = context_tokens}, threads) +
         pool_tokens(context_tokens) * model::KvPool::bytes_per_token(spec, eval.kv_type);
}

Result<std::unique_ptr<Scorer>> Scorer::create(const engine::LoadedModel& loaded,
                                               Executor& executor, const EvalOptions& eval,
                                               std::size_t context_tokens) {
  if (context_tokens < 2)
    return invalid_argument("a context of fewer than 2 tokens scores nothing");
  std::unique_ptr<Scorer> scorer(new Scorer(loaded, eval, context_tokens));
  const model::BlockSpec& spec = loaded.model->spec();
  PARING_TRY(
      scorer->forward_,
      model::Forward::create(
          spec, {.tokens_max = kScoreTokensMax, .context_tokens = context_tokens}, executor));
  PARING_TRY(model::KvPool pool,
             model::KvPool::create(spec, eval.kv_type, {.tokens = pool_tokens(context_tokens)}));
  scorer->pool_ = std::make_unique<model::KvPool>(std::move(pool));
  return scorer;
}

Result<ScoreItem> Scorer::encode(std::string_view context,
                                 std::span<const std::string> continuations) const {
  const text::Tokenizer& tokenizer = *loaded_.tokenizer;
  const auto encode_text = [&](std::string_view text,
                               bool with_bos) -> Result<std::vector<std::int32_t>> {
    PARING_TRY(std::vector<std::int32_t> tokens, tokenizer.encode(text, {}));
    if (with_bos && tokenizer.bos()) tokens.insert(tokens.begin(), *tokenizer.bos());
    return tokens;
  };
  const std::string_view kept = strip_end(context);
  const std::string blanks(context.substr(kept.size()));
  ScoreItem item;
  if (context.empty()) {
    const auto prefix = tokenizer.bos() ? tokenizer.bos() : tokenizer.eos();
    if (!prefix) return unsupported("an empty context needs a model with a BOS or EOS token");
    item.context = {*prefix};
  } else {
    PARING_TRY(item.context, encode_text(kept, loaded_.add_bos));
    if (item.context.empty()) return invalid_argument("the context has no token");
  }
  for (const std::string& continuation : continuations) {
    std::vector<std::int32_t> tokens;
    if (context.empty()) {
      PARING_TRY(tokens, encode_text(continuation, false));
      if (!tokens.empty() && tokens[0] == item.context[0]) tokens.erase(tokens.begin());
    } else {
      PARING_TRY(tokens, encode_text(std::string(kept) + blanks + continuation, loaded_.add_bos));
      const std::size_t size = std::min(item.context.size(), tokens.size());
      tokens.erase(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(size));
    }
    if (tokens.empty()) {
      return invalid_argument(
          fmt::format("'{}' has no token of its own after its context", continuation));
    }
    item.continuations.push_back(std::move(tokens));
  }
  return item;
}

bool Scorer::is_cut(const ScoreItem& item) const {
  return std::any_of(item.continuations.begin(), item.continuations.end(), [&](const auto& tokens) {
    return item.context.size() + tokens.size() - 1 > context_;
  });
}

// The model reads the last `context_` tokens of context and continuation without its last token, as
// in the harness. What each continuation reads of the context then depends on its length.
std::vector<Scorer::Unit> Scorer::units_of(std::span<const ScoreItem> items) const {
  std::vector<Unit> units;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const ScoreItem& item = items[i];
    if (!is_cut(item)) {
      units.push_back({i, 0, item.context, {item.continuations.begin(), item.continuations.end()}});
      continue;
    }
    for (std::size_t c = 0; c < item.continuations.size(); ++c) {
      Tokens continuation = item.continuations[c];
      // The harness would cut into a continuation that fills the context alone.
      continuation = continuation.last(std::min(continuation.size(), context_));
      const std::size_t room = context_ + 1 - continuation.size();
      const Tokens context = item.context;
      units.push_back({i, c, context.last(std::min(context.size(), room)), {continuation}});
    }
  }
  return units;
}

Result<void> Scorer::step(std::span<Part> parts) {
  std::vector<model::Segment> segments;
  std::vector<std::int32_t> wanted;
  std::size_t tokens = 0;
  for (Part& part : parts) {
    PARING_TRY_VOID(part.sequence->grow(part.tokens.size()));
    segments.push_back({part.sequence, part.tokens, part.wanted.size()});
    wanted.insert(wanted.end(), part.wanted.begin(), part.wanted.end());
    tokens += part.tokens.size();
  }
  TokenSink sink(wanted);
  model::ForwardOptions options;
  options.numerics = eval_.numerics;
  options.sink = &sink;
  const double start = system_clock().monotonic_seconds();
  forward_->run(view_, segments, options);
  metrics().step_seconds.observe(system_clock().monotonic_seconds() - start);
  metrics().prompt_tokens.add(tokens);
  std::size_t row = 0;
  for (const Part& part : parts) {
    for (std::size_t i = 0; i < part.wanted.size(); ++i, ++row) {
      if (!std::isfinite(sink.log_probabilities[row])) return not_finite(loaded_.path);
      part.result->log_probability += sink.log_probabilities[row];
      part.result->is_greedy = part.result->is_greedy && sink.is_top[row] != 0;
    }
  }
  return {};
}

// Round k computes the k-th continuation of every unit. The first brings the prefix along; later
// ones drop what the round before added and begin with the prefix' last token, which predicts their
// first.
Result<void> Scorer::score_group(std::span<const Unit> units,
                                 std::vector<std::vector<Likelihood>>& results) {
  std::vector<std::unique_ptr<model::KvSequence>> sequences;
  std::size_t rounds = 0;
  for (const Unit& unit : units) {
    sequences.push_back(std::make_unique<model::KvSequence>(*pool_));
    rounds = std::max(rounds, unit.continuations.size());
  }
  for (std::size_t round = 0; round < rounds; ++round) {
    std::vector<Part> parts;
    for (std::size_t u = 0; u < units.size(); ++u) {
      const Unit& unit = units[u];
      if (round >= unit.continuations.size()) continue;
      const Tokens continuation = unit.continuations[round];
      const Tokens prefix = round == 0 ? unit.prefix : unit.prefix.last(1);
      if (round != 0) sequences[u]->truncate(unit.prefix.size() - 1);
      Part part{sequences[u].get(),
                {prefix.begin(), prefix.end()},
                continuation,
                &results[unit.item][unit.first + round]};
      part.tokens.insert(part.tokens.end(), continuation.begin(), continuation.end() - 1);
      parts.push_back(std::move(part));
    }
    PARING_TRY_VOID(step(parts));
  }
  return {};
}

// A unit that is longer than a step: its tokens in pieces.
Result<void> Scorer::score_long(const Unit& unit, std::vector<std::vector<Likelihood>>& results) {
  model::KvSequence sequence(*pool_);
  const std::size_t shared = unit.prefix.size() - 1;
  for (std::size_t c = 0; c < unit.continuations.size(); ++c) {
    const Tokens continuation = unit.continuations[c];
    Likelihood& result = results[unit.item][unit.first + c];
    std::vector<std::int32_t> tokens(unit.prefix.begin(), unit.prefix.end());
    tokens.insert(tokens.end(), continuation.begin(), continuation.end() - 1);
    if (c != 0) sequence.truncate(shared);
    for (std::size_t at = c == 0 ? 0 : shared; at < tokens.size();) {
      // A piece ends where the rows that predict begin, so that it wants all of its rows or none.
      const std::size_t end = std::min(at < shared ? shared : tokens.size(), at + kScoreTokensMax);
      Part part{&sequence,
                {tokens.begin() + static_cast<std::ptrdiff_t>(at),
                 tokens.begin() + static_cast<std::ptrdiff_t>(end)},
                {},
                &result};
      if (at >= shared) part.wanted = continuation.subspan(at - shared, end - at);
      PARING_TRY_VOID(step({&part, 1}));
      at = end;
    }
  }
  return {};
}

Result<std::vector<std::vector<Likelihood>>> Scorer::score(std::span<const ScoreItem> items) {
  std::vector<std::vector<Likelihood>> results;
  for (const ScoreItem& item : items) {
    results.emplace_back(item.continuations.size(), Likelihood{0.0, true});
  }
  const std::vector<Unit> units = units_of(items);
  for (std::size_t begin = 0; begin < units.size();) {
    std::size_t end = begin, tokens = 0, cached = 0;
    for (; end < units.size(); ++end) {
      const std::size_t size = units[end].prefix.size() + units[end].longest() - 1;
      if (tokens + size > kScoreTokensMax || cached + in_pages(size) > pool_tokens(context_)) {
        break;
      }
      tokens += size;
      cached += in_pages(size);
    }
    if (end == begin) {
      PARING_TRY_VOID(score_long(units[begin], results));
      ++end;
    } else {
      PARING_TRY_VOID(score_group(std::span(units).subspan(begin, end - begin), results));
    }
    begin = end;
  }
  return results;
}

}  // namespace paring::measure
