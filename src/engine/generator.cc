// SPDX-License-Identifier: Apache-2.0
#include "engine/generator.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "base/clock.h"
#include "base/metrics.h"
#include "engine/finite.h"
#include "engine/sampler.h"

namespace paring::engine {

namespace {

// Copies one row of logits out of the step buffers.
class RowSink : public model::LogitsSink {
 public:
  explicit RowSink(std::vector<float>& target) : target_(target) {}
  void consume(Worker& worker, const model::LogitsChunk& chunk) override {
    const Range part = worker.split(chunk.vocabulary, 64);
    std::copy(chunk.logits + part.begin, chunk.logits + part.end,
              target_.begin() + static_cast<std::ptrdiff_t>(part.begin));
    if (!are_finite({chunk.logits + part.begin, part.end - part.begin})) is_finite_ = false;
  }
  bool is_finite() const { return is_finite_; }

 private:
  std::vector<float>& target_;
  std::atomic<bool> is_finite_ = true;
};

// Text that is sure not to be part of a stop string.
class StopFilter {
 public:
  explicit StopFilter(const std::vector<std::string>& stops) : stops_(stops) {}

  // Appends `piece`; returns what may be shown now.
  std::string push(std::string_view piece) {
    pending_ += piece;
    std::size_t cut = std::string::npos;
    for (const std::string& stop : stops_) {
      if (!stop.empty()) cut = std::min(cut, pending_.find(stop));
    }
    if (cut != std::string::npos) {
      is_stopped_ = true;
      pending_.resize(cut);
      return std::exchange(pending_, {});
    }
    // The longest end of pending_ that begins a stop string waits for more text.
    std::size_t held = 0;
    for (const std::string& stop : stops_) {
      for (std::size_t n = std::min(stop.size(), pending_.size()); n > held; --n) {
        if (pending_.compare(pending_.size() - n, n, stop, 0, n) == 0) held = n;
      }
    }
    std::string ready = pending_.substr(0, pending_.size() - held);
    pending_.erase(0, pending_.size() - held);
    return ready;
  }
  std::string finish() { return std::exchange(pending_, {}); }
  bool is_stopped() const { return is_stopped_; }

 private:
  const std::vector<std::string>& stops_;
  std::string pending_;
  bool is_stopped_ = false;
};

}  // namespace

std::size_t Generator::bytes_for(const model::BlockSpec& spec, const GeneratorOptions& options,
                                 std::size_t threads) {
  const std::size_t chunk = std::min(kPrefillChunkTokens, options.context_tokens);
  return model::Forward::bytes_for(spec, chunk, threads) +
         model::KvPool::bytes_for(spec, options.kv_type,
                                  {.tokens = options.context_tokens, .step_tokens = chunk});
}

Result<std::unique_ptr<Generator>> Generator::create(const LoadedModel& loaded, Executor& executor,
                                                     const GeneratorOptions& options) {
  if (options.context_tokens == 0) return invalid_argument("context_tokens must be at least 1");
  std::unique_ptr<Generator> generator(new Generator(loaded, options));
  const model::BlockSpec& spec = loaded.model->spec();
  const std::size_t chunk = std::min(kPrefillChunkTokens, options.context_tokens);
  PARING_TRY(generator->forward_,
             model::Forward::create(
                 spec, {.tokens_max = chunk, .context_tokens = options.context_tokens}, executor));
  PARING_TRY(model::KvPool pool,
             model::KvPool::create(spec, options.kv_type,
                                   {.tokens = options.context_tokens, .step_tokens = chunk}));
  generator->pool_ = std::make_unique<model::KvPool>(std::move(pool));
  generator->logits_.resize(spec.vocabulary);
  return generator;
}

Result<void> Generator::step(model::KvSequence& sequence, std::span<const std::int32_t> tokens,
                             bool wants_logits) {
  const model::Segment segment{&sequence, tokens, wants_logits ? std::size_t{1} : 0};
  RowSink sink(logits_);
  model::ForwardOptions options;
  options.numerics = options_.numerics;
  options.sink = &sink;
  const double start = system_clock().monotonic_seconds();
  forward_->run(view_, {&segment, 1}, options);
  metrics().step_seconds.observe(system_clock().monotonic_seconds() - start);
  if (sink.is_finite()) return {};
  return corrupt(fmt::format("{}: the model's output after {} tokens holds values that are not "
                             "finite numbers",
                             loaded_.path, sequence.length()),
                 "its weights are damaged or out of range; get the file again");
}

Result<api::Completion> Generator::generate(const api::Request& request,
                                            const TextCallback& on_text) {
  PARING_TRY_VOID(check_sampling(request.sampling));
  if (request.kind != api::RequestKind::kGenerate) {
    return unsupported("this engine answers requests of kind 'generate' only");
  }
  if (request.prompt.empty()) return invalid_argument("the prompt is empty");
  if (request.prompt.size() >= options_.context_tokens) {
    return invalid_argument(fmt::format("the prompt has {} tokens, the context has room for {}",
                                        request.prompt.size(), options_.context_tokens - 1),
                            "shorten it or raise --context");
  }
  for (const std::int32_t token : request.prompt) {
    if (token < 0 || static_cast<std::size_t>(token) >= loaded_.model->spec().vocabulary) {
      return invalid_argument(fmt::format("the prompt holds token {}, the vocabulary has {}", token,
                                          loaded_.model->spec().vocabulary));
    }
  }

  api::Completion completion;
  completion.usage.prompt_tokens = request.prompt.size();
  model::KvSequence sequence(*pool_);
  const double start = system_clock().monotonic_seconds();
  for (std::size_t done = 0; done < request.prompt.size();) {
    const std::size_t count = std::min(forward_->tokens_max(), request.prompt.size() - done);
    PARING_TRY_VOID(sequence.grow(count));
    done += count;
    PARING_TRY_VOID(step(sequence, std::span(request.prompt).subspan(done - count, count),
                         done == request.prompt.size()));
    metrics().prompt_tokens.add(count);
  }
  const double prefilled = system_clock().monotonic_seconds();
  completion.usage.prefill_seconds = prefilled - start;

  Sampler sampler(request.sampling, request.id);
  text::StreamDecoder decoder(loaded_.tokenizer);
  StopFilter filter(request.stop);
  std::vector<std::int32_t> history = request.prompt;
  const auto emit = [&](const std::string& piece) -> Result<void> {
    if (piece.empty()) return {};
    completion.text += piece;
    if (on_text && !on_text(piece)) {
      return Error{ErrorCode::kCancelled, "the request was cancelled"};
    }
    return {};
  };
  completion.reason = api::FinishReason::kMaxTokens;
  while (completion.tokens.size() < request.max_tokens) {
    const std::int32_t token = sampler.sample(logits_, history, history.size());
    if (loaded_.tokenizer->is_end(token)) {
      completion.reason = api::FinishReason::kEndOfText;
      break;
    }
    completion.tokens.push_back(token);
    metrics().generation_tokens.add();
    history.push_back(token);
    PARING_TRY_VOID(emit(filter.push(decoder.push(token))));
    if (filter.is_stopped()) {
      completion.reason = api::FinishReason::kStopString;
      break;
    }
    if (completion.tokens.size() == request.max_tokens) break;
    if (history.size() >= options_.context_tokens) {
      completion.reason = api::FinishReason::kContextFull;
      break;
    }
    PARING_TRY_VOID(sequence.grow(1));
    PARING_TRY_VOID(step(sequence, {&token, 1}, true));
  }
  if (!filter.is_stopped()) {
    PARING_TRY_VOID(emit(filter.push(decoder.finish())));
    if (!filter.is_stopped()) PARING_TRY_VOID(emit(filter.finish()));
  }
  completion.usage.decode_seconds = system_clock().monotonic_seconds() - prefilled;
  completion.usage.generated_tokens = completion.tokens.size();
  return completion;
}

}  // namespace paring::engine
