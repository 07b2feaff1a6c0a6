// SPDX-License-Identifier: Apache-2.0
#include "serve/quality_watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <limits>
#include <utility>

#include "api/certificate.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/sha256.h"

namespace paring::serve {

namespace {

// From 0 to 1, always the same of one id: whether an answer is taken does not depend on what else
// is served.
double place_of(const std::string& id) {
  constexpr std::size_t kHexDigits = 8;
  constexpr int kHexBase = 16;
  const std::string hash = sha256_hex(id).substr(0, kHexDigits);
  std::uint32_t place = 0;
  std::from_chars(hash.data(), hash.data() + hash.size(), place, kHexBase);
  return static_cast<double>(place) /
         static_cast<double>(std::numeric_limits<std::uint32_t>::max());
}

monitor::LiveQuality::Options quality_of(const ServedModel& model, const QualityOptions& options) {
  monitor::LiveQuality::Options quality{.drift_factor = options.drift_factor};
  if (model.certificate().empty()) return quality;
  if (const auto certificate = api::Certificate::from_json(model.certificate())) {
    quality.certified_kl = certificate->served.kl_mean;
  } else {
    log_warning(model.name() +
                ": its certificate cannot be read, so live answers are held to "
                "none: " +
                certificate.error().text());
  }
  return quality;
}

}  // namespace

QualityWatch::QualityWatch(const QualityOptions& options,
                           std::shared_ptr<const engine::LoadedModel> original,
                           const ServedModel& model, const monitor::LiveQuality::Options& quality,
                           Told told)
    : options_(options),
      original_(std::move(original)),
      original_name_(std::filesystem::path(original_->path).filename().string()),
      original_view_(*original_->model),
      model_name_(model.name()),
      variant_(model.variant()),
      context_tokens_(std::min(model.context_tokens(), original_->model->spec().context_max)),
      told_(std::move(told)),
      quality_(quality) {}

Result<std::shared_ptr<QualityWatch>> QualityWatch::create(
    const QualityOptions& options, std::shared_ptr<const engine::LoadedModel> original,
    const std::shared_ptr<ServedModel>& model, Executor& executor, Told told) {
  if (model->is_encoder()) {
    return invalid_argument(model->name() + " gives vectors, not answers that could be compared",
                            "--original is for a model that writes text");
  }
  PARING_TRY_VOID(measure::check_same_vocabulary(model->loaded(), *original));
  const kernels::KvType kv_type =
      model->options().kv_type.value_or(engine::served_kv_type(model->loaded().file));
  std::shared_ptr<QualityWatch> watch(new QualityWatch(
      options, std::move(original), *model, quality_of(*model, options), std::move(told)));
  PARING_TRY(watch->rescorer_,
             measure::Rescorer::create(watch->original_->model->spec(),
                                       model->loaded().model->spec(), executor,
                                       {.model = {model->options().numerics, kv_type},
                                        .original = measure::kExactOptions,
                                        .context_tokens = watch->context_tokens_,
                                        .piece_tokens_max = kPieceTokensMax}));
  return watch;
}

AnswerPlan::OnAnswer QualityWatch::sample(const ModelUse& model, const AnswerPlan& plan,
                                          const std::string& request_id, const std::string& tenant,
                                          const std::string& key_id) {
  const bool can_be_scored = model->name() == model_name_ && model->variant() == variant_ &&
                             model.adapter == nullptr && plan.sequences.size() == 1;
  if (!can_be_scored || place_of(request_id) >= options_.share) return {};
  WatchedAnswer answer{.request_id = request_id, .tenant = tenant, .key_id = key_id, .found = {}};
  return [this, answer = std::move(answer), served = std::weak_ptr(model.model)](
             std::vector<std::int32_t> prompt, std::vector<std::int32_t> tokens) mutable {
    offer({std::move(answer), std::move(served), std::move(prompt), std::move(tokens)});
  };
}

void QualityWatch::offer(Waiting waiting) {
  const std::size_t tokens = waiting.prompt.size() + waiting.tokens.size();
  if (waiting.tokens.empty() || waiting.prompt.empty()) return;  // it was cancelled early
  if (tokens > context_tokens_) {
    metrics().quality_skipped_long.add();
    return;
  }
  if (waiting_.size() >= kWaitingMax || waiting_tokens_ + tokens > kWaitingTokensMax) {
    metrics().quality_skipped_busy.add();
    return;
  }
  waiting_tokens_ += tokens;
  waiting_.push_back(std::move(waiting));
  waiting_count_ = waiting_.size();
}

bool QualityWatch::begin_next() {
  while (!waiting_.empty()) {
    current_ = std::move(waiting_.front());
    waiting_.pop_front();
    waiting_tokens_ -= current_.prompt.size() + current_.tokens.size();
    waiting_count_ = waiting_.size();
    const Result<void> begun = rescorer_->begin(current_.prompt, current_.tokens);
    if (begun) return true;
    metrics().quality_skipped_failed.add();
    log_warning(model_name_ + ": an answer was not scored again: " + begun.error().text());
  }
  return false;
}

bool QualityWatch::step() {
  if (!has_current_) has_current_ = begin_next();
  if (!has_current_) return false;
  const std::shared_ptr<ServedModel> model = current_.model.lock();
  if (model == nullptr) {
    metrics().quality_skipped_unloaded.add();
    rescorer_->drop();
    has_current_ = false;
    return true;
  }
  const double start = system_clock().monotonic_seconds();
  const model::ModelView view(*model->loaded().model);
  const Result<void> stepped = rescorer_->step(original_view_, view, piece_tokens_);
  const double seconds = system_clock().monotonic_seconds() - start;
  metrics().quality_step_seconds.observe(seconds);
  // Towards pieces of kStepSeconds, at most twice as long at a time: one slow step says little.
  const double ratio = std::clamp(kStepSeconds / std::max(seconds, 1e-6), 0.25, 2.0);
  piece_tokens_ = std::clamp<std::size_t>(
      static_cast<std::size_t>(std::lround(static_cast<double>(piece_tokens_) * ratio)), 1,
      kPieceTokensMax);
  if (!stepped) {
    metrics().quality_skipped_failed.add();
    log_warning(model_name_ + ": an answer was not scored again: " + stepped.error().text());
    has_current_ = false;
  } else if (rescorer_->is_done()) {
    finish();
  }
  return true;
}

void QualityWatch::finish() {
  has_current_ = false;
  current_.answer.found = rescorer_->result();
  rescorer_->drop();
  metrics().quality_answers.add();
  metrics().quality_tokens.add(current_.answer.found.tokens);
  if (quality_.add(current_.answer.found)) {
    const monitor::LiveStanding now = quality_.standing();
    const std::string figures = fmt::format(
        "KL of live answers is {:.4f} nats a token over {} answers, the certificate "
        "says {:.4f}",
        now.kl.mean, now.window_answers, now.certified_kl.value_or(0));
    if (now.drift == monitor::Drift::kDrifted) {
      log_warning(fmt::format("{}: drifted from its original: {}", model_name_, figures));
    } else {
      log_info(
          fmt::format("{}: as near to its original again as promised: {}", model_name_, figures));
    }
  }
  told_(std::move(current_.answer));
}

}  // namespace paring::serve
