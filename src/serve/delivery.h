// SPDX-License-Identifier: Apache-2.0
// The way of answers from the engine's thread to the thread that writes them: what a step gave is
// handed over once, when the step is done, so that thirty streams cost one wake-up.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "serve/answer.h"

namespace paring::serve {

struct AnswerEvent {
  std::size_t choice = 0;
  AnswerDelta delta;                   // may be empty
  std::optional<AnswerEnding> ending;  // after the delta
  std::size_t generated = 0;           // tokens since the choice's last event
};

// Takes an answer. Called by one thread, which is not the engine's.
class AnswerReceiver {
 public:
  virtual ~AnswerReceiver() = default;
  // In order. `usage`: every choice has ended, nothing follows.
  virtual void receive(std::vector<AnswerEvent> events,
                       const std::optional<AnswerUsage>& usage) = 0;
};

// Something that has news. take() is called on the engine's thread and gives what the writing
// thread then calls.
class NewsSource {
 public:
  virtual ~NewsSource() = default;
  virtual std::function<void()> take() = 0;
};

// Collects on the engine's thread. Confined to it.
class Delivery {
 public:
  using Post = std::function<void(std::function<void()>)>;  // runs it on the writing thread, soon
  explicit Delivery(Post post) : post_(std::move(post)) {}

  // `source` has news; asked for them at the next flush(). Once until then.
  void add(std::shared_ptr<NewsSource> source) { sources_.push_back(std::move(source)); }
  void flush() {
    if (sources_.empty()) return;
    std::vector<std::function<void()>> calls;
    for (const auto& source : std::exchange(sources_, {})) calls.push_back(source->take());
    post_([calls = std::move(calls)] {
      for (const auto& call : calls) call();
    });
  }

 private:
  Post post_;
  std::vector<std::shared_ptr<NewsSource>> sources_;
};

}  // namespace paring::serve
