// SPDX-License-Identifier: Apache-2.0
#include "serve/mask_pool.h"

#include <condition_variable>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace paring::serve {

// State that both the mask's thread and the engine's use, one after the other.
class MaskPool::Constrained : public engine::TokenConstraint {
 public:
  Constrained(TaskThread& thread, std::shared_ptr<const text::CompiledConstraint> compiled,
              std::size_t words)
      : thread_(thread), shared_(std::make_shared<Shared>()) {
    shared_->compiled = std::move(compiled);
    shared_->bits.resize(words);
    thread_.post([shared = shared_] { shared->begin(); });
  }

  Result<engine::TokenSet> allowed() override {
    std::unique_lock lock(shared_->mutex);
    shared_->ready.wait(lock, [this] { return shared_->is_ready; });
    if (!shared_->outcome) return shared_->outcome.error();
    return engine::TokenSet(shared_->bits);
  }

  Result<void> accept(std::int32_t token) override {
    {
      const std::lock_guard lock(shared_->mutex);
      shared_->is_ready = false;
    }
    thread_.post([shared = shared_, token] { shared->go_on(token); });
    return {};  // what goes wrong is told by allowed()
  }

 private:
  struct Shared {
    std::mutex mutex;
    std::condition_variable ready;
    bool is_ready = false;  // bits and outcome are those behind the last accepted token
    std::shared_ptr<const text::CompiledConstraint> compiled;
    std::optional<text::ConstraintState> state;
    std::vector<std::uint32_t> bits;
    Result<void> outcome;

    void begin() {
      Result<text::ConstraintState> started = text::ConstraintState::start(compiled);
      if (!started) return finish(std::move(started.error()));
      state.emplace(std::move(started).value());
      finish(state->mask(bits));
    }
    void go_on(std::int32_t token) {
      if (!state) return finish(outcome);
      Result<void> accepted = state->accept(token);
      finish(accepted ? state->mask(bits) : std::move(accepted));
    }
    void finish(Result<void> result) {
      // The bounds that end it are the grammar's, not the machine's: to come again does not help.
      if (!result && result.error().code == ErrorCode::kExhausted) {
        result = invalid_argument(result.error().message, "simplify the format that is asked for");
      }
      {
        const std::lock_guard lock(mutex);
        outcome = std::move(result);
        is_ready = true;
      }
      ready.notify_all();
    }
  };

  TaskThread& thread_;
  std::shared_ptr<Shared> shared_;
};

std::unique_ptr<engine::TokenConstraint> MaskPool::start(
    std::shared_ptr<const text::CompiledConstraint> compiled, std::size_t words) {
  return std::make_unique<Constrained>(thread_, std::move(compiled), words);
}

}  // namespace paring::serve
