// SPDX-License-Identifier: Apache-2.0
// The server's side of changes that are tried on a share of the requests.
#include "base/log.h"
#include "serve/canary/canaries.h"
#include "serve/server.h"
#include "serve/wire/canaries.h"

namespace paring::serve {

Result<void> Server::begin_canaries() {
  canaries_ = std::make_unique<Canaries>(Canaries::Parts{
      .models = *registry_,
      .control = *control_,
      .audit =
          [this](const Canaries::Audit& what) {
            const Result<void> noted = auditor_->action({.actor = what.actor,
                                                         .action = what.action,
                                                         .object = what.object,
                                                         .result = "ok",
                                                         .detail = what.detail});
            if (!noted) log_error(noted.error().text());
          },
      .measured =
          [](const std::vector<TrialMeasure>& measures) { return wire::measures_json(measures); },
      .cache = [this] { return options().cache; },
      .try_cache = [this](const ResponseCacheOptions& cache) { sharing_.set_options(cache); },
      .keep_cache = [this](const ResponseCacheOptions& cache) { keep_cache(cache); },
      .clock = system_clock()});
  return canaries_->recover();
}

void Server::keep_cache(const ResponseCacheOptions& cache) {
  const std::lock_guard lock(options_mutex_);
  auto next = std::make_unique<ServerOptions>(options());
  next->cache = cache;
  sharing_.set_options(cache);
  all_options_.push_back(std::move(next));
  options_ = all_options_.back().get();
}

CacheRule Server::cache_rule(const Call& call, const AnswerPlan& plan) const {
  CacheRule rule = sharing_.rule(call.exchange->head(), plan);
  if (canaries_ == nullptr) return rule;
  const std::optional<bool> reads = call.record->trial().reads_cache;
  if (reads) {
    rule.reads = rule.reads && *reads;
  } else if (canaries_->is_cache_borrowed()) {
    rule = {};
  }
  return rule;
}

}  // namespace paring::serve
