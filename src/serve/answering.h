// SPDX-License-Identifier: Apache-2.0
// Answering: one request on its way through the engine. It listens to the request's sequences,
// turns tokens into text, ends at stop strings, and hands what is new after each step to the
// receiver. Made on any thread; then confined to the engine's, but for cancel().
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/batch_engine.h"
#include "engine/stop_filter.h"
#include "serve/delivery.h"
#include "serve/served_model.h"
#include "text/answer_parser.h"

namespace paring::serve {

// Pieces that may lie between the engine and the receiver; beyond it the request is cancelled.
inline constexpr std::size_t kUndeliveredMax = 4096;

// The one question of a request that asks nothing else (cache/question.h).
struct PlanQuestion {
  std::string text;   // the user's words
  std::string frame;  // everything else of the conversation, and the length asked for
};

// A request made ready for the engine: token ids instead of conversations.
struct AnswerPlan {
  std::vector<engine::SequenceRequest> sequences;  // one a prompt; samples of each alike
  std::vector<std::string> stop;
  // By prompt: how content, reasoning and calls are told apart; empty: all is content.
  std::vector<text::AnswerParserOptions> parsers;
  bool ignores_end = false;
  bool echoes_prompt = false;
  std::size_t truncated_tokens = 0;
  std::string format_key;  // of what limits the answer; empty: nothing does
  // Whether equal requests give equal answers: greedy, or with a seed of the client's.
  bool is_reproducible = false;
  std::optional<bool> uses_cache;  // of whole answers; absent: when it is reproducible
  // Told the tokens of the first choice when it has ended well, on the engine's thread; empty:
  // nobody.
  using OnAnswer =
      std::function<void(std::vector<std::int32_t> prompt, std::vector<std::int32_t> answer)>;
  OnAnswer on_answer;
  // Absent: answers to other questions are none to this one.
  std::optional<PlanQuestion> question;
  std::size_t choices() const noexcept {
    return sequences.empty() ? 0 : sequences.size() * sequences.front().samples;
  }
};

class Answering : public NewsSource, public std::enable_shared_from_this<Answering> {
 public:
  // Called once, when nobody holds the answering any more.
  using OnDestroyed = std::function<void(Answering&)>;
  Answering(std::shared_ptr<ServedModel> model, AnswerPlan plan,
            std::shared_ptr<AnswerReceiver> receiver, OnDestroyed on_destroyed);
  ~Answering() override;

  // Any thread: ends everything within a step. The receiver hears of it.
  void cancel() noexcept { cancelled_->store(true, std::memory_order_relaxed); }
  // The same because the server ends: the receiver gets an error.
  void abandon() noexcept {
    is_abandoned_.store(true, std::memory_order_relaxed);
    cancel();
  }
  // On the engine's thread, once. Lives until its last choice has ended.
  void start(Delivery& delivery);
  std::function<void()> take() override;

 private:
  class Listener;
  struct Choice;
  void on_scores(std::size_t prompt, std::size_t first, std::span<const api::TokenLogprobs> scores);
  bool on_token(std::size_t choice, std::int32_t token);
  void note_gap(Choice& choice) const;
  void on_logprobs(std::size_t choice, const api::TokenLogprobs& logprobs);
  void on_end(std::size_t choice, const engine::SequenceResult& result);
  // The pieces of an answer that text makes certain; null: the text as it is.
  void say(std::size_t choice, const std::string& text, AnswerDelta& delta);
  void take_apart(std::size_t choice, const std::vector<text::AnswerEvent>& found,
                  AnswerDelta& delta);
  TokenDetail detail_of(const api::TokenLogprobs& logprobs) const;
  TokenText text_of(const api::TokenLogprob& entry) const;
  void emit(std::size_t choice, AnswerDelta delta, std::optional<AnswerEnding> ending);

  std::shared_ptr<ServedModel> model_;
  AnswerPlan plan_;
  std::shared_ptr<AnswerReceiver> receiver_;
  OnDestroyed on_destroyed_;
  std::shared_ptr<std::atomic<bool>> cancelled_ = std::make_shared<std::atomic<bool>>(false);
  std::atomic<bool> is_abandoned_{false};
  Delivery* delivery_ = nullptr;
  std::vector<std::unique_ptr<Listener>> listeners_;  // by prompt
  std::vector<std::unique_ptr<Choice>> choices_;
  std::vector<AnswerEvent> events_;  // since the last delivery
  std::shared_ptr<std::atomic<std::size_t>> undelivered_ =
      std::make_shared<std::atomic<std::size_t>>(0);
  std::size_t open_choices_ = 0;
  AnswerUsage usage_;
  std::shared_ptr<Answering> self_;  // while choices are open
};

}  // namespace paring::serve
