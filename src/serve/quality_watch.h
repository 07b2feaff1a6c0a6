// SPDX-License-Identifier: Apache-2.0
// QualityWatch: answers of live traffic scored again by the original of the model that gave them,
// while the engine has nothing else to do. A share of the answers is taken; their token ids stay in
// memory until then, no text is kept. Steps on the engine's thread; the rest is thread-safe.
//
//   PARING_TRY(const auto watch, QualityWatch::create(options, original, *model, executor, told));
//   loop.add_idle(watch);
//   plan.on_answer = watch->sample(model, plan, request_id, tenant);
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/loaded_model.h"
#include "measure/rescoring.h"
#include "monitor/live_quality.h"
#include "serve/answering.h"
#include "serve/engine_loop.h"
#include "serve/model_use.h"

namespace paring::serve {

struct QualityOptions {
  double share = 0.05;      // of answers, 0 to 1
  double drift_factor = 2;  // times the certificate's KL that are not yet an alarm
};

// An answer that was scored.
struct WatchedAnswer {
  std::string request_id;
  std::string tenant;
  std::string key_id;
  measure::RescoredAnswer found;
};

class QualityWatch : public Steppable {
 public:
  // Called on the engine's thread; must not wait.
  using Told = std::function<void(WatchedAnswer)>;

  static constexpr std::size_t kWaitingMax = 32;             // answers
  static constexpr std::size_t kWaitingTokensMax = 1 << 16;  // their prompts included
  // What a request that comes while a step runs may have to wait for.
  static constexpr double kStepSeconds = 0.03;
  static constexpr std::size_t kPieceTokensMax = 128;

  // InvalidArgument for an encoder, or an original with another vocabulary; Exhausted without
  // memory. The original stays in memory as long as the result.
  static Result<std::shared_ptr<QualityWatch>> create(
      const QualityOptions& options, std::shared_ptr<const engine::LoadedModel> original,
      const std::shared_ptr<ServedModel>& model, Executor& executor, Told told);

  // By name: the model may be unloaded and come back.
  const std::string& model_name() const noexcept { return model_name_; }
  // The file's name, without the folders of this machine.
  const std::string& original_name() const noexcept { return original_name_; }
  const QualityOptions& options() const noexcept { return options_; }
  monitor::LiveStanding standing() const { return quality_.standing(); }
  std::size_t waiting() const noexcept { return waiting_count_; }

  // Who is to hear of the answer's tokens; empty: it is not one of the share, or cannot be scored
  // (an adapter's, several prompts, another file under this name).
  AnswerPlan::OnAnswer sample(const ModelUse& model, const AnswerPlan& plan,
                              const std::string& request_id, const std::string& tenant,
                              const std::string& key_id);

  bool step() override;

 private:
  struct Waiting {
    WatchedAnswer answer;
    std::weak_ptr<ServedModel> model;
    std::vector<std::int32_t> prompt;
    std::vector<std::int32_t> tokens;
  };
  QualityWatch(const QualityOptions& options, std::shared_ptr<const engine::LoadedModel> original,
               const ServedModel& model, const monitor::LiveQuality::Options& quality, Told told);
  void offer(Waiting waiting);
  bool begin_next();
  void finish();

  const QualityOptions options_;
  const std::shared_ptr<const engine::LoadedModel> original_;
  const std::string original_name_;
  const model::ModelView original_view_;
  const std::string model_name_;
  const std::string variant_;
  const std::size_t context_tokens_;
  const Told told_;
  monitor::LiveQuality quality_;
  std::atomic<std::size_t> waiting_count_{0};
  // Of the engine's thread.
  std::unique_ptr<measure::Rescorer> rescorer_;
  std::deque<Waiting> waiting_;
  std::size_t waiting_tokens_ = 0;
  Waiting current_;
  bool has_current_ = false;
  std::size_t piece_tokens_ = 4;  // grows until a step takes kStepSeconds
};

}  // namespace paring::serve
