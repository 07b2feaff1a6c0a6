// SPDX-License-Identifier: Apache-2.0
#include "advise/diagnosis/replayer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "engine/sampler.h"
#include "kernels/ops.h"

namespace paring::advise {

namespace {

using Json = nlohmann::ordered_json;
using Tokens = std::span<const std::int32_t>;

constexpr std::size_t kStepTokensMax = 1024;

std::size_t in_pages(std::size_t tokens) {
  return (tokens + kernels::kPageTokens - 1) / kernels::kPageTokens * kernels::kPageTokens;
}

// The likeliest token of each row, and the log-probability of a wanted one.
class ReplaySink : public model::LogitsSink {
 public:
  ReplaySink(std::size_t rows, std::vector<std::int32_t> wanted)
      : log_probabilities(rows), likeliest(rows), wanted_(std::move(wanted)) {}
  void consume(Worker& worker, const model::LogitsChunk& chunk) override {
    const Range rows = worker.split(chunk.rows);
    for (std::size_t r = rows.begin; r < rows.end; ++r) {
      const float* logits = chunk.logits + r * chunk.vocabulary;
      const std::size_t row = chunk.first + r;
      likeliest[row] = engine::most_likely({logits, chunk.vocabulary});
      const std::int32_t token = wanted_.empty() ? likeliest[row] : wanted_[row];
      log_probabilities[row] = static_cast<double>(logits[static_cast<std::size_t>(token)]) -
                               kernels::kernels().log_sum_exp(logits, chunk.vocabulary);
    }
  }
  std::vector<double> log_probabilities;
  std::vector<std::int32_t> likeliest;

 private:
  std::vector<std::int32_t> wanted_;  // one a row; empty: the likeliest
};

// The likeliest tokens along an answer.
class TraceSink : public model::LogitsSink {
 public:
  explicit TraceSink(Tokens answer) : positions(answer.size()) {
    for (std::size_t i = 0; i < answer.size(); ++i) positions[i].token = answer[i];
  }
  void consume(Worker& worker, const model::LogitsChunk& chunk) override {
    const Range rows = worker.split(chunk.rows);
    for (std::size_t r = rows.begin; r < rows.end; ++r) {
      const float* logits = chunk.logits + r * chunk.vocabulary;
      const double log_sum = kernels::kernels().log_sum_exp(logits, chunk.vocabulary);
      AnswerTrace::Position& position = positions[chunk.first + r];
      position.log_probability = logits[static_cast<std::size_t>(position.token)] - log_sum;
      std::vector<std::int32_t> order(chunk.vocabulary);
      std::iota(order.begin(), order.end(), 0);
      const std::size_t top = std::min(kTraceTop, order.size());
      std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(top),
                        order.end(),
                        [&](std::int32_t a, std::int32_t b) { return logits[a] > logits[b]; });
      order.resize(top);
      for (const std::int32_t token : order) {
        position.top_log_probabilities.push_back(static_cast<float>(logits[token] - log_sum));
      }
      position.top = std::move(order);
    }
  }
  std::vector<AnswerTrace::Position> positions;
};

// Log-probabilities of the tokens that another model found likeliest.
class FollowSink : public model::LogitsSink {
 public:
  explicit FollowSink(const AnswerTrace& base) : at_top(base.positions.size()), base_(base) {}
  void consume(Worker& worker, const model::LogitsChunk& chunk) override {
    const Range rows = worker.split(chunk.rows);
    for (std::size_t r = rows.begin; r < rows.end; ++r) {
      const float* logits = chunk.logits + r * chunk.vocabulary;
      const double log_sum = kernels::kernels().log_sum_exp(logits, chunk.vocabulary);
      for (const std::int32_t token : base_.positions[chunk.first + r].top) {
        const bool is_known = static_cast<std::size_t>(token) < chunk.vocabulary;
        at_top[chunk.first + r].push_back(is_known ? logits[token] - log_sum : -100.0);
      }
    }
  }
  std::vector<std::vector<double>> at_top;

 private:
  const AnswerTrace& base_;
};

Error not_finite(const std::string& path) {
  return corrupt(path + ": the model's output holds values that are not finite numbers",
                 "its weights are damaged or out of range; get the file again");
}

}  // namespace

double AnswerTrace::mean_log_probability() const {
  double sum = 0;
  for (const Position& position : positions) sum += position.log_probability;
  return positions.empty() ? 0 : sum / static_cast<double>(positions.size());
}

double traced_divergence(const AnswerTrace& base,
                         std::span<const std::vector<double>> model_at_top) {
  constexpr double kLeast = 1e-9;  // of a rest, which rounding can make zero or negative
  double sum = 0;
  for (std::size_t i = 0; i < base.positions.size(); ++i) {
    const std::vector<float>& top = base.positions[i].top_log_probabilities;
    double base_rest = 1, model_rest = 1;
    for (std::size_t k = 0; k < top.size(); ++k) {
      const double p = std::exp(static_cast<double>(top[k]));
      sum += p * (static_cast<double>(top[k]) - model_at_top[i][k]);
      base_rest -= p;
      model_rest -= std::exp(model_at_top[i][k]);
    }
    base_rest = std::max(base_rest, kLeast);
    model_rest = std::max(model_rest, kLeast);
    sum += base_rest * std::log(base_rest / model_rest);
  }
  return base.positions.empty() ? 0 : sum / static_cast<double>(base.positions.size());
}

// Tokens that continue a sequence; the logits of the last `rows` are wanted.
struct Replayer::Part {
  model::KvSequence* sequence;
  std::vector<std::int32_t> tokens;
  std::size_t rows;
};

Replayer::Replayer(const engine::LoadedModel& loaded, const Options& options)
    : loaded_(loaded), view_(*loaded.model), options_(options) {
  if (loaded.chat_template != nullptr) {
    chat_prompt_.emplace(loaded.tokenizer, loaded.chat_template, loaded.add_bos);
  }
}

// The prompts of a case in one group where they are of ordinary length.
std::size_t Replayer::pool_tokens() const {
  return in_pages(std::max(options_.context_tokens, 2 * kStepTokensMax)) + kernels::kPageTokens;
}

std::size_t Replayer::bytes_for(const model::BlockSpec& spec, const Options& options,
                                std::size_t threads) {
  const std::size_t tokens = in_pages(std::max(options.context_tokens, 2 * kStepTokensMax));
  return model::Forward::bytes_for(
             spec, {.tokens_max = kStepTokensMax, .context_tokens = options.context_tokens},
             threads) +
         (tokens + kernels::kPageTokens) *
             model::KvPool::bytes_per_token(spec, options.eval.kv_type);
}

Result<std::unique_ptr<Replayer>> Replayer::create(const engine::LoadedModel& loaded,
                                                   Executor& executor, const Options& options) {
  std::unique_ptr<Replayer> replayer(new Replayer(loaded, options));
  const model::BlockSpec& spec = loaded.model->spec();
  PARING_TRY(replayer->forward_,
             model::Forward::create(
                 spec, {.tokens_max = kStepTokensMax, .context_tokens = options.context_tokens},
                 executor));
  PARING_TRY(model::KvPool pool, model::KvPool::create(spec, options.eval.kv_type,
                                                       {.tokens = replayer->pool_tokens()}));
  replayer->pool_ = std::make_unique<model::KvPool>(std::move(pool));
  return replayer;
}

Result<std::vector<std::int32_t>> Replayer::encode(const std::string& prompt) const {
  const Json json = Json::parse(prompt, nullptr, false);
  if (json.is_array() && chat_prompt_) {
    return chat_prompt_->encode({.messages = prompt, .tools = {}, .variables = {}});
  }
  std::string text;
  if (json.is_string()) text = json.get<std::string>();
  if (json.is_array()) {
    for (const Json& message : json) {
      const auto content = message.find("content");
      if (content == message.end() || !content->is_string()) continue;
      text += content->get<std::string>() + "\n";
    }
  }
  return loaded_.tokenizer->encode(text, {.add_special = true, .parse_special = false});
}

Result<void> Replayer::step(std::span<Part> parts, model::LogitsSink& sink) {
  std::vector<model::Segment> segments;
  for (Part& part : parts) {
    PARING_TRY_VOID(part.sequence->grow(part.tokens.size()));
    segments.push_back({part.sequence, part.tokens, part.rows});
  }
  model::ForwardOptions options;
  options.numerics = options_.eval.numerics;
  options.sink = &sink;
  forward_->run(view_, segments, options);
  return {};
}

Result<void> Replayer::prefill(model::KvSequence& sequence, Tokens tokens) {
  ReplaySink none(0, {});
  for (std::size_t at = 0; at < tokens.size(); at += kStepTokensMax) {
    const Tokens piece = tokens.subspan(at, std::min(kStepTokensMax, tokens.size() - at));
    Part part{&sequence, {piece.begin(), piece.end()}, 0};
    PARING_TRY_VOID(step({&part, 1}, none));
  }
  return {};
}

Result<void> Replayer::run_group(std::span<const std::vector<std::int32_t>> prompts,
                                 Tokens reference, std::span<Replay> replays) {
  std::vector<std::unique_ptr<model::KvSequence>> sequences;
  for (const std::vector<std::int32_t>& prompt : prompts) {
    sequences.push_back(std::make_unique<model::KvSequence>(*pool_));
    PARING_TRY_VOID(prefill(*sequences.back(), Tokens(prompt).first(prompt.size() - 1)));
  }
  // The reference, one prompt at a time: together they could be more than a step.
  for (std::size_t i = 0; !reference.empty() && i < prompts.size(); ++i) {
    Part part{sequences[i].get(), {prompts[i].back()}, reference.size()};
    part.tokens.insert(part.tokens.end(), reference.begin(), reference.end() - 1);
    ReplaySink sink(reference.size(), {reference.begin(), reference.end()});
    PARING_TRY_VOID(step({&part, 1}, sink));
    double sum = 0;
    for (const double value : sink.log_probabilities) sum += value;
    if (!std::isfinite(sum)) return not_finite(loaded_.path);
    replays[i].reference_log_probability = sum / static_cast<double>(reference.size());
    replays[i].reference_tokens = reference.size();
    sequences[i]->truncate(prompts[i].size() - 1);
  }
  std::vector<std::vector<std::int32_t>> answers(prompts.size());
  std::vector<std::size_t> running(prompts.size());
  std::iota(running.begin(), running.end(), std::size_t{0});
  for (std::size_t n = 0; n < options_.answer_tokens_max && !running.empty(); ++n) {
    std::vector<Part> parts;
    for (const std::size_t i : running) {
      parts.push_back({sequences[i].get(), {n == 0 ? prompts[i].back() : answers[i].back()}, 1});
    }
    ReplaySink sink(parts.size(), {});
    PARING_TRY_VOID(step(parts, sink));
    std::vector<std::size_t> next;
    for (std::size_t k = 0; k < running.size(); ++k) {
      if (!std::isfinite(sink.log_probabilities[k])) return not_finite(loaded_.path);
      if (loaded_.tokenizer->is_end(sink.likeliest[k])) continue;
      answers[running[k]].push_back(sink.likeliest[k]);
      next.push_back(running[k]);
    }
    running = std::move(next);
  }
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    PARING_TRY(replays[i].answer, loaded_.tokenizer->decode(answers[i]));
    replays[i].prompt_tokens = prompts[i].size();
  }
  return {};
}

Result<std::vector<Replay>> Replayer::run(std::span<const std::string> prompts,
                                          const std::string& reference) {
  std::vector<std::int32_t> wanted;
  if (!reference.empty()) {
    PARING_TRY(wanted, loaded_.tokenizer->encode(reference, {}));
    if (wanted.empty()) return invalid_argument("the reference has no token");
    wanted.resize(std::min(wanted.size(), kTraceTokensMax));
  }
  const std::size_t room = std::max(wanted.size(), options_.answer_tokens_max);
  std::vector<std::vector<std::int32_t>> encoded;
  for (const std::string& prompt : prompts) {
    PARING_TRY(std::vector<std::int32_t> tokens, encode(prompt));
    if (tokens.empty() || tokens.size() + room > options_.context_tokens) {
      return invalid_argument(
          fmt::format("a prompt of {} tokens and an answer of {} do not fit into {} tokens",
                      tokens.size(), room, options_.context_tokens),
          "give a larger --context");
    }
    encoded.push_back(std::move(tokens));
  }
  std::vector<Replay> replays(prompts.size());
  for (std::size_t begin = 0; begin < encoded.size();) {
    std::size_t end = begin, tokens = 0;
    for (; end < encoded.size(); ++end) {
      const std::size_t size = in_pages(encoded[end].size() + room);
      if (end > begin && tokens + size > pool_tokens()) break;
      tokens += size;
    }
    PARING_TRY_VOID(run_group(std::span(encoded).subspan(begin, end - begin), wanted,
                              std::span(replays).subspan(begin, end - begin)));
    begin = end;
  }
  return replays;
}

// Runs prompt and answer; the sink gets a row for each token of the answer.
Result<void> Replayer::follow(const std::string& prompt, Tokens answer, model::LogitsSink& sink) {
  PARING_TRY(const std::vector<std::int32_t> tokens, encode(prompt));
  if (tokens.empty() || tokens.size() + answer.size() > options_.context_tokens) {
    return invalid_argument(
        fmt::format("a prompt of {} tokens and its answer of {} do not fit into {} tokens",
                    tokens.size(), answer.size(), options_.context_tokens),
        "give a larger --context");
  }
  model::KvSequence sequence(*pool_);
  PARING_TRY_VOID(prefill(sequence, Tokens(tokens).first(tokens.size() - 1)));
  Part part{&sequence, {tokens.back()}, answer.size()};
  part.tokens.insert(part.tokens.end(), answer.begin(), answer.end() - 1);
  return step({&part, 1}, sink);
}

Result<AnswerTrace> Replayer::trace(const std::string& prompt, const std::string& answer) {
  PARING_TRY(std::vector<std::int32_t> tokens, loaded_.tokenizer->encode(answer, {}));
  tokens.resize(std::min(tokens.size(), kTraceTokensMax));
  if (tokens.empty()) return AnswerTrace{};
  TraceSink sink(tokens);
  PARING_TRY_VOID(follow(prompt, tokens, sink));
  return AnswerTrace{std::move(sink.positions)};
}

Result<std::optional<double>> Replayer::divergence(const std::string& prompt,
                                                   const std::string& answer,
                                                   const AnswerTrace& base) {
  PARING_TRY(std::vector<std::int32_t> tokens, loaded_.tokenizer->encode(answer, {}));
  tokens.resize(std::min(tokens.size(), kTraceTokensMax));
  const bool is_same = std::equal(
      tokens.begin(), tokens.end(), base.positions.begin(), base.positions.end(),
      [](std::int32_t token, const AnswerTrace::Position& p) { return token == p.token; });
  if (tokens.empty() || !is_same) return std::optional<double>();
  FollowSink sink(base);
  PARING_TRY_VOID(follow(prompt, tokens, sink));
  const double value = traced_divergence(base, sink.at_top);
  if (!std::isfinite(value)) return not_finite(loaded_.path);
  return std::optional<double>(value);
}

}  // namespace paring::advise
