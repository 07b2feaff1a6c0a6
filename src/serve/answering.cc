// SPDX-License-Identifier: Apache-2.0
#include "serve/answering.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "text/tokenizer.h"

namespace paring::serve {

class Answering::Listener : public engine::SequenceListener {
 public:
  Listener(Answering& answering, std::size_t prompt, std::size_t samples)
      : answering_(answering), prompt_(prompt), samples_(samples) {}
  bool on_token(std::size_t sample, std::int32_t token) override {
    return answering_.on_token(prompt_ * samples_ + sample, token);
  }
  void on_logprobs(std::size_t sample, const api::TokenLogprobs& logprobs) override {
    answering_.on_logprobs(prompt_ * samples_ + sample, logprobs);
  }
  void on_scores(std::size_t first, std::span<const api::TokenLogprobs> scores) override {
    answering_.on_scores(prompt_, first, scores);
  }
  void on_end(std::size_t sample, const engine::SequenceResult& result) override {
    answering_.on_end(prompt_ * samples_ + sample, result);
  }

 private:
  Answering& answering_;
  std::size_t prompt_;
  std::size_t samples_;
};

struct Answering::Choice {
  // Tags of calls and reasoning may be control tokens: who takes an answer apart sees them.
  Choice(std::shared_ptr<const text::Tokenizer> tokenizer, const std::vector<std::string>& stop,
         const text::AnswerParserOptions* options)
      : decoder(std::move(tokenizer),
                {.skip_special = options == nullptr, .is_continuation = true}),
        filter(stop) {
    if (options != nullptr) parser.emplace(*options);
  }
  text::StreamDecoder decoder;
  engine::StopFilter filter;
  std::optional<text::AnswerParser> parser;
  bool has_calls = false;
  std::vector<TokenDetail> tokens;  // not told yet: their text is held back
  std::optional<TokenDetail> next;  // of the token that comes
  std::size_t generated = 0;
  std::size_t reasoning = 0;      // of those, in reasoning sections, their tags included
  std::size_t untold = 0;         // of those, since its last event
  double last_token_s = 0;        // monotonic; 0: none yet
  std::vector<std::int32_t> ids;  // where somebody wants them
  std::vector<std::int64_t> gap_microseconds;
};

Answering::Answering(std::shared_ptr<ServedModel> model, AnswerPlan plan,
                     std::shared_ptr<AnswerReceiver> receiver, OnDestroyed on_destroyed)
    : model_(std::move(model)),
      plan_(std::move(plan)),
      receiver_(std::move(receiver)),
      on_destroyed_(std::move(on_destroyed)) {}

Answering::~Answering() {
  if (on_destroyed_) on_destroyed_(*this);
}

void Answering::start(Delivery& delivery) {
  delivery_ = &delivery;
  self_ = shared_from_this();
  open_choices_ = plan_.choices();
  usage_.truncated_tokens = plan_.truncated_tokens;
  for (std::size_t c = 0; c < open_choices_; ++c) {
    const std::size_t prompt = c / plan_.sequences.front().samples;
    choices_.push_back(
        std::make_unique<Choice>(model_->loaded().tokenizer, plan_.stop,
                                 plan_.parsers.empty() ? nullptr : &plan_.parsers[prompt]));
  }
  for (std::size_t p = 0; p < plan_.sequences.size(); ++p) {
    engine::SequenceRequest& request = plan_.sequences[p];
    usage_.prompt_tokens += request.prompt.size();
    request.cancelled = cancelled_;
    listeners_.push_back(std::make_unique<Listener>(*this, p, request.samples));
    const std::size_t samples = request.samples;
    if (plan_.echoes_prompt) {
      const auto text = model_->tokenizer().decode(request.prompt, {.skip_special = false});
      for (std::size_t s = 0; text && s < samples; ++s) {
        emit(p * samples + s, {.content = *text}, std::nullopt);
      }
    }
    const Result<void> submitted = model_->engine().submit(request, *listeners_.back());
    if (submitted) continue;
    // What was submitted before ends with this step; what was not is ended here.
    cancel();
    for (std::size_t c = p * samples; c < choices_.size(); ++c) {
      emit(c, {}, AnswerEnding{.error = api_error(submitted.error())});
    }
    return;
  }
}

void Answering::say(std::size_t index, const std::string& text, AnswerDelta& delta) {
  Choice& choice = *choices_[index];
  if (text.empty()) return;
  if (choice.parser) {
    take_apart(index, choice.parser->feed(text), delta);
  } else {
    delta.content += text;
  }
}

void Answering::take_apart(std::size_t index, const std::vector<text::AnswerEvent>& found,
                           AnswerDelta& delta) {
  for (const text::AnswerEvent& event : found) {
    switch (event.kind) {
      case text::AnswerEventKind::kContent:
        delta.content += event.text;
        break;
      case text::AnswerEventKind::kReasoning:
        delta.reasoning += event.text;
        break;
      case text::AnswerEventKind::kCallBegin:
        choices_[index]->has_calls = true;
        delta.tool_calls.push_back({.index = event.call, .id = event.id, .name = event.text});
        break;
      case text::AnswerEventKind::kCallArguments:
        delta.tool_calls.push_back({.index = event.call, .arguments = event.text});
        break;
      case text::AnswerEventKind::kCallEnd:
        break;
      case text::AnswerEventKind::kMalformed:
        log_debug("a call of a tool: " + event.text);
        break;
    }
  }
}

TokenText Answering::text_of(const api::TokenLogprob& entry) const {
  return {.id = entry.token,
          .bytes = std::string(model_->tokenizer().token_bytes(entry.token)),
          .logprob = entry.logprob};
}

TokenDetail Answering::detail_of(const api::TokenLogprobs& logprobs) const {
  TokenDetail detail{.token = text_of(logprobs.token), .top = {}};
  for (const api::TokenLogprob& entry : logprobs.top) detail.top.push_back(text_of(entry));
  return detail;
}

void Answering::on_scores(std::size_t prompt, std::size_t first,
                          std::span<const api::TokenLogprobs> scores) {
  const std::size_t samples = plan_.sequences[prompt].samples;
  AnswerDelta delta;
  if (first == 1) {
    // Nothing is in front of the first token: it has no probability.
    const std::int32_t token = plan_.sequences[prompt].prompt.front();
    const float none = std::numeric_limits<float>::quiet_NaN();
    delta.tokens.push_back({.token = text_of({token, none}), .top = {}});
  }
  for (const api::TokenLogprobs& score : scores) delta.tokens.push_back(detail_of(score));
  for (std::size_t s = 0; s < samples; ++s) emit(prompt * samples + s, delta, std::nullopt);
}

void Answering::on_logprobs(std::size_t choice, const api::TokenLogprobs& logprobs) {
  choices_[choice]->next = detail_of(logprobs);
}

void Answering::note_gap(Choice& choice) const {
  constexpr double kMicrosecondsPerSecond = 1e6;
  const double now = system_clock().monotonic_seconds();
  const double last = std::exchange(choice.last_token_s, now);
  if (last == 0 || choice.gap_microseconds.size() >= AnswerUsage::kGapsMax) return;
  choice.gap_microseconds.push_back(std::llround((now - last) * kMicrosecondsPerSecond));
}

bool Answering::on_token(std::size_t index, std::int32_t token) {
  Choice& choice = *choices_[index];
  ++choice.generated;
  ++choice.untold;
  note_gap(choice);
  if (index == 0 && plan_.on_answer) choice.ids.push_back(token);
  if (!plan_.ignores_end && model_->tokenizer().is_end(token)) return false;
  if (choice.next) choice.tokens.push_back(*std::exchange(choice.next, std::nullopt));
  const std::string text = choice.filter.push(choice.decoder.push(token));
  AnswerDelta delta;
  const bool was_reasoning = choice.parser && choice.parser->is_in_reasoning();
  say(index, text, delta);
  if (was_reasoning || (choice.parser && choice.parser->is_in_reasoning())) ++choice.reasoning;
  if (!delta.content.empty() || !delta.reasoning.empty() || !delta.tool_calls.empty()) {
    delta.tokens = std::exchange(choice.tokens, {});
    emit(index, std::move(delta), std::nullopt);
  }
  return !choice.filter.is_stopped();
}

void Answering::on_end(std::size_t index, const engine::SequenceResult& result) {
  Choice& choice = *choices_[index];
  AnswerDelta delta;
  AnswerEnding ending;
  switch (result.end) {
    case engine::SequenceEnd::kStopped:
      if (choice.filter.is_stopped()) {
        ending.end = AnswerEnd::kStopString;
        ending.stop_string = choice.filter.stopped_by();
      }
      break;
    case engine::SequenceEnd::kMaxTokens:
    case engine::SequenceEnd::kContextFull:
      ending.end = AnswerEnd::kLength;
      break;
    case engine::SequenceEnd::kCancelled:
      ending.end = AnswerEnd::kCancelled;
      if (is_abandoned_.load(std::memory_order_relaxed)) {
        ending.error = ApiError{.status = 503,
                                .code = "server_is_overloaded",
                                .message = "the server is shutting down",
                                .param = "",
                                .retry_after_seconds = 5};
      }
      break;
    case engine::SequenceEnd::kDeadline:
      ending.error = ApiError{.status = 504,
                              .code = "timeout",
                              .message = "the answer was not complete in time",
                              .param = ""};
      break;
    case engine::SequenceEnd::kFailed:
      ending.error = api_error(result.error);
      break;
  }
  if (!choice.filter.is_stopped()) {
    std::string rest = choice.filter.push(choice.decoder.finish());
    rest += choice.filter.finish();
    say(index, rest, delta);
  }
  if (choice.parser) take_apart(index, choice.parser->finish(), delta);
  delta.tokens = std::exchange(choice.tokens, {});
  if (choice.has_calls && ending.end == AnswerEnd::kStop) ending.end = AnswerEnd::kToolCalls;
  const engine::SequenceRequest& request = plan_.sequences[index / plan_.sequences[0].samples];
  usage_.completion_tokens += choice.generated;
  usage_.reasoning_tokens += choice.reasoning;
  if (index % request.samples == 0) {
    usage_.cached_tokens += result.usage.cached_tokens;
    usage_.queue_seconds = std::max(usage_.queue_seconds, result.queue_seconds);
    usage_.prefill_seconds = std::max(usage_.prefill_seconds, result.usage.prefill_seconds);
  }
  usage_.decode_seconds = std::max(usage_.decode_seconds, result.usage.decode_seconds);
  usage_.drafted_tokens += result.usage.speculation.drafted_tokens;
  usage_.accepted_tokens += result.usage.speculation.accepted_tokens;
  usage_.preemptions += result.preemptions;
  usage_.peak_pages += result.usage.peak_pages;
  usage_.prefill_work += result.usage.prefill_work;
  usage_.decode_work += result.usage.decode_work;
  const std::size_t room = AnswerUsage::kGapsMax - usage_.gap_microseconds.size();
  const auto gaps = std::span(choice.gap_microseconds);
  const auto kept = gaps.first(std::min(room, gaps.size()));
  usage_.gap_microseconds.insert(usage_.gap_microseconds.end(), kept.begin(), kept.end());
  const bool is_whole = !ending.error && ending.end != AnswerEnd::kCancelled;
  if (index == 0 && plan_.on_answer && is_whole) {
    plan_.on_answer(request.prompt, std::move(choice.ids));
  }
  emit(index, std::move(delta), std::move(ending));
}

void Answering::emit(std::size_t choice, AnswerDelta delta, std::optional<AnswerEnding> ending) {
  if (ending) --open_choices_;
  if (events_.empty()) delivery_->add(shared_from_this());
  const std::size_t told = choices_.empty() ? 0 : std::exchange(choices_[choice]->untold, 0);
  events_.push_back({choice, std::move(delta), std::move(ending), told});
  if (undelivered_->fetch_add(1, std::memory_order_relaxed) >= kUndeliveredMax) cancel();
}

std::function<void()> Answering::take() {
  std::optional<AnswerUsage> usage;
  if (open_choices_ == 0) {
    usage = usage_;
    self_.reset();  // whoever calls this holds it
  }
  return [receiver = receiver_, events = std::exchange(events_, {}), usage,
          undelivered = undelivered_]() mutable {
    undelivered->fetch_sub(events.size(), std::memory_order_relaxed);
    receiver->receive(std::move(events), usage);
  };
}

}  // namespace paring::serve
