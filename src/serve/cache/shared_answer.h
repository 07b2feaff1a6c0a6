// SPDX-License-Identifier: Apache-2.0
// SharedAnswer: one answer for several clients. It remembers what came, so that who joins late gets
// it from the beginning, and goes on as long as anybody listens. Confined to the thread that
// delivers answers.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "serve/delivery.h"

namespace paring::serve {

class SharedAnswer : public AnswerReceiver, public std::enable_shared_from_this<SharedAnswer> {
 public:
  // `on_end`: the answer is complete or has failed. `on_deserted`: nobody listens any more before
  // that. Both are called at most once. An answer of more than `bytes_max` is not remembered.
  SharedAnswer(std::size_t bytes_max, std::function<void(SharedAnswer&)> on_end,
               std::function<void()> on_deserted)
      : bytes_max_(bytes_max), on_end_(std::move(on_end)), on_deserted_(std::move(on_deserted)) {}

  void receive(std::vector<AnswerEvent> events, const std::optional<AnswerUsage>& usage) override;

  // `receiver` gets what came so far, then what comes. REQUIRES: is_whole(). The first one pays.
  void join(const std::shared_ptr<AnswerReceiver>& receiver);
  // `receiver` has left. Who pays is told what comes all the same for as long as others listen, or
  // they would get for nothing what nobody is charged for.
  void leave(const AnswerReceiver& receiver);

  // Everything that came is remembered.
  bool is_whole() const noexcept { return is_whole_; }
  // Complete, without an error, and remembered: it may be given again.
  bool is_reusable() const noexcept { return is_whole_ && usage_.has_value() && !has_failed_; }
  std::size_t bytes() const noexcept { return bytes_; }
  // What it says, all choices after each other, without reasoning and calls. REQUIRES: is_whole().
  std::string text() const;

 private:
  std::size_t bytes_max_;
  std::function<void(SharedAnswer&)> on_end_;
  std::function<void()> on_deserted_;
  std::vector<std::shared_ptr<AnswerReceiver>> listeners_;
  const AnswerReceiver* payer_ = nullptr;
  bool has_payer_left_ = false;  // and is among the listeners still
  std::vector<AnswerEvent> events_;
  std::optional<AnswerUsage> usage_;
  std::size_t bytes_ = 0;
  bool is_whole_ = true;
  bool has_failed_ = false;
  bool has_ended_ = false;
};

}  // namespace paring::serve
