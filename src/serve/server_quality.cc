// SPDX-License-Identifier: Apache-2.0
// The server's side of live quality: who is watched, and what is kept of an answer that the
// original has scored.
#include <fmt/format.h>

#include <filesystem>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "serve/quality_watch.h"
#include "serve/routes/feedback.h"
#include "serve/server.h"
#include "serve/wire/quality.h"
#include "store/scores.h"

namespace paring::serve {

Result<void> Server::watch_quality(const std::string& model,
                                   std::shared_ptr<const engine::LoadedModel> original,
                                   const QualityOptions& options) {
  const auto use = registry_->find_ready(model);
  if (!use) {
    return invalid_argument(fmt::format("the model '{}' is not in memory", model),
                            "live answers can be watched of models that load at the start");
  }
  const std::string path = std::filesystem::path(original->path).filename().string();
  PARING_TRY(std::shared_ptr<QualityWatch> watch,
             QualityWatch::create(options, std::move(original), use->model, executor_,
                                  [this, path](WatchedAnswer answer) {
                                    if (!control_) return;
                                    finisher_.post([this, path, answer = std::move(answer)] {
                                      keep_quality(answer, path);
                                    });
                                  }));
  loop_->add_idle(watch);
  quality_watches_.push_back(std::move(watch));
  return {};
}

void Server::keep_quality(const WatchedAnswer& answer, const std::string& original) {
  const measure::RescoredAnswer& found = answer.found;
  const auto now = static_cast<std::int64_t>(system_clock().wall_seconds());
  store::ScoreRow score;
  score.tenant = answer.tenant;
  score.id = "live-kl-" + answer.request_id;
  score.subject_kind = "response";
  score.subject_id = answer.request_id;
  score.name = "live_kl";
  score.type = "numeric";
  score.number = found.kl_sum / static_cast<double>(found.tokens);
  score.comment = found.first_changed
                      ? fmt::format("the original would have written another token {} of {}",
                                    *found.first_changed + 1, found.tokens)
                      : fmt::format("no token of {} that the original would have written otherwise",
                                    found.tokens);
  score.source = "rule";
  score.author = "paring";
  score.key_id = answer.key_id;
  score.metadata = wire::quality_metadata(found, original);
  score.created_s = score.updated_s = now;
  if (const auto kept = store::Scores(*control_).put(score, kScoresMax); !kept) {
    log_warning("the score of a live answer was not kept: " + kept.error().text());
  } else {
    note_score(*kept);
  }
}

}  // namespace paring::serve
