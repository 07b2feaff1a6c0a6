// SPDX-License-Identifier: Apache-2.0
#include "serve/canary/canaries.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <limits>
#include <utility>

#include "base/log.h"
#include "base/metrics.h"
#include "base/sha256.h"

namespace paring::serve {

namespace {

// Trials are looked at when a request has ended, and for their time so often.
constexpr std::chrono::milliseconds kLookInterval(250);
// So long it is tried to keep a change while its model is loaded or unloaded.
constexpr double kKeepSeconds = 30;
constexpr const char* kOwnActor = "paring";

// In [0, 1), the same for the same trial and key.
double place_of(std::int64_t trial, std::string_view key) {
  constexpr std::size_t kDigits = 13;  // 52 bits, which a double holds
  const std::string digits = sha256_hex(fmt::format("{}:{}", trial, key));
  std::uint64_t number = 0;
  std::from_chars(digits.data(), digits.data() + kDigits, number, 16);
  return std::ldexp(static_cast<double>(number), -4 * static_cast<int>(kDigits));
}

ApiError conflict(const char* code, std::string message) {
  return {.status = 409, .code = code, .message = std::move(message), .param = "model"};
}

// What is wrong with the database is not the client's.
ApiError not_written(const Error& error) {
  log_error("the ledger of advice was not written: " + error.text());
  return {.status = 503,
          .code = "storage_unavailable",
          .message = "the ledger of advice cannot be written; nothing was changed",
          .param = ""};
}

Counter& counter_of(std::string_view verdict) {
  if (verdict == "kept") return metrics().canary_kept;
  if (verdict == "rolled_back") return metrics().canary_rolled_back;
  return verdict == "failed" ? metrics().canary_failed : metrics().canary_inconclusive;
}

}  // namespace

bool is_changed_window(std::int64_t window, double share) noexcept {
  const auto index = static_cast<double>(window);
  return std::floor((index + 1) * share) > std::floor(index * share);
}

Canaries::Canaries(Parts parts) : parts_(std::move(parts)), ledger_(parts_.control) {
  thread_ = Thread(thread_names::kCanary, [this] { run(); });
}

Canaries::~Canaries() { stop_all(); }

Result<void> Canaries::recover() {
  PARING_TRY(const std::vector<store::AdviceRow> left, ledger_.open_ones());
  for (const store::AdviceRow& row : left) {
    constexpr const char* kWhy = "the process ended while it was tried; it was taken back";
    log_warning(fmt::format("{}: the change '{}' ({}): {}", row.model, row.action, row.id, kWhy));
    PARING_TRY_VOID(
        ledger_.add_event(row.id, {.at_s = static_cast<std::int64_t>(parts_.clock.wall_seconds()),
                                   .kind = "failed",
                                   .actor = kOwnActor,
                                   .detail = kWhy}));
    metrics().canary_failed.add();
  }
  return {};
}

void Canaries::start(const CanaryRequest& request, const std::string& actor, Done done) {
  ApiResult<ActivePtr> begun = begin(request, actor);
  if (!begun) return done(begun.error());
  const ActivePtr active = *begun;
  if (active->request.change.is_of_server()) {
    begin_trial(active, actor);
    return done(active->id);
  }
  const ModelWish wish{.name = active->request.model,
                       .deadline = std::numeric_limits<double>::infinity(),
                       .is_operators = true,
                       .may_evict = false,
                       .is_canary = true};
  parts_.models.acquire(wish, [this, active, actor, done](const ApiResult<ModelUse>& use) {
    if (use) {
      begin_trial(active, actor);
      return done(active->id);
    }
    parts_.models.drop_canary(active->request.model);
    write(*active, "failed", actor, use.error().message);
    metrics().canary_failed.add();
    forget(active);
    done(use.error());
  });
}

ApiResult<Canaries::ActivePtr> Canaries::begin(const CanaryRequest& request,
                                               const std::string& actor) {
  const ApiResult<ModelStatus> status = parts_.models.status(request.model);
  if (!status) return status.error();
  const std::string name = status->source.name;
  if (status->model == nullptr) {
    return conflict("model_not_loaded",
                    fmt::format("'{}' is not in memory, so there is nothing to compare with; "
                                "load it first",
                                name));
  }
  if (status->model->is_encoder()) {
    return bad_request("model",
                       fmt::format("'{}' writes no text; only models that do have canaries", name));
  }
  // As it is served now, with the numbers that its memory gave it: the canary finds less.
  ModelSource source = status->source;
  source.options = status->model->options();
  const ModelSource next = changed(source, request.change);
  const bool is_of_server = request.change.is_of_server();
  if (is_of_server && next != source) {
    return bad_request("change", "one thing at a time: settings of the server, or the model");
  }
  if (is_of_server) {
    if (auto error = check_cache(request.change)) return *std::move(error);
  }
  if (request.rules.seconds_min > request.rules.seconds_max) {
    return bad_request("seconds_min", "it is more than seconds_max");
  }
  if (!is_of_server && next == source)
    return bad_request("change", "it is served so already; nothing would change");
  const auto active = std::make_shared<Active>();
  active->request = request;
  active->request.model = name;
  if (request.action.empty()) active->request.action = action_of(request.change);
  active->before = status->source;
  active->cache_before = parts_.cache();
  {
    const std::lock_guard lock(mutex_);
    if (auto error = enter(active)) return *std::move(error);
  }
  Result<std::int64_t> id =
      ledger_.append({.made_s = static_cast<std::int64_t>(parts_.clock.wall_seconds()),
                      .made_by = actor,
                      .model = name,
                      .variant_before = status->model->variant(),
                      .action = active->request.action,
                      .parameters = request.parameters,
                      .prediction = request.prediction,
                      .predicted_loss = request.predicted_loss});
  if (!id) {
    forget(active);
    return not_written(id.error());
  }
  {
    const std::lock_guard lock(mutex_);
    active->id = *id;
  }
  if (is_of_server) return active;
  if (const auto added = parts_.models.add_canary(next); !added) {
    write(*active, "failed", actor, added.error().text());
    forget(active);
    return api_error(added.error(), "model");
  }
  return active;
}

// A cache that is on cannot be tried with other bounds beside itself; it can be tried on and off.
std::optional<ApiError> Canaries::check_cache(const CanaryChange& change) const {
  const ResponseCacheOptions now = parts_.cache();
  const ResponseCacheOptions next = changed(now, change);
  if (next == now) {
    return bad_request("change.settings", "it is so already; nothing would change");
  }
  if ((now.bytes_max == 0) != (next.bytes_max == 0)) return std::nullopt;
  return bad_request("change.settings",
                     "the cache of answers can be tried on and off, not with other bounds; "
                     "change those in the configuration, they take effect at once");
}

std::optional<ApiError> Canaries::enter(const ActivePtr& active) {
  if (is_stopping_) {
    return ApiError{.status = 503,
                    .code = "server_is_overloaded",
                    .message = "the server is shutting down",
                    .param = ""};
  }
  const auto is_of_server = [](const auto& each) {
    return each.second->request.change.is_of_server();
  };
  if (active->request.change.is_of_server() && std::ranges::any_of(active_, is_of_server)) {
    return conflict("canary_exists", "the cache of answers is being tried already");
  }
  const std::string& model = active->request.model;
  if (active_.emplace(model, active).second) return std::nullopt;
  return conflict(
      "canary_exists",
      fmt::format("a change of '{}' is being tried; stop it, or wait for its end", model));
}

void Canaries::begin_trial(const ActivePtr& active, const std::string& actor) {
  const std::string& model = active->request.model;
  write(*active, "applied", actor,
        fmt::format("{:.4g} % of the requests", 100 * active->request.share));
  parts_.audit({actor, "canary.start", model, active->request.action});
  const CanaryChange& change = active->request.change;
  if (change.is_of_server() && active->cache_before.bytes_max == 0) {
    is_cache_borrowed_ = true;
    parts_.try_cache(changed(active->cache_before, change));
  }
  const auto before = parts_.models.status(model);
  const auto after = parts_.models.canary_status(model);
  const std::lock_guard lock(mutex_);
  active->trial.emplace(active->request.rules, parts_.clock.monotonic_seconds());
  if (before && after) {
    active->trial->set_memory(static_cast<double>(before->memory_bytes),
                              static_cast<double>(after->memory_bytes));
  }
  active->stage = Stage::kRunning;
  metrics().canary_active.set(static_cast<double>(++running_));
  wakes_.notify_all();
}

void Canaries::forget(const ActivePtr& active) {
  const std::lock_guard lock(mutex_);
  if (active->trial) metrics().canary_active.set(static_cast<double>(--running_));
  active_.erase(active->request.model);
}

Canaries::ActivePtr Canaries::find(std::int64_t id) const {
  const auto it =
      std::ranges::find_if(active_, [&](const auto& each) { return each.second->id == id; });
  return it == active_.end() ? nullptr : it->second;
}

std::optional<CanaryStanding> Canaries::standing(std::int64_t id) const {
  const std::lock_guard lock(mutex_);
  const ActivePtr active = find(id);
  if (active == nullptr) return std::nullopt;
  if (!active->trial) return CanaryStanding{.is_loading = true};
  const Trial& trial = *active->trial;
  return CanaryStanding{.seconds = trial.seconds(parts_.clock.monotonic_seconds()),
                        .before = trial.count(TrialSide::kBefore),
                        .changed = trial.count(TrialSide::kChanged),
                        .measures = trial.measures()};
}

std::optional<ModelUse> Canaries::choose(const std::string& model, std::string_view key,
                                         TrialPlace& place) {
  if (running_ == 0) return std::nullopt;
  const ApiResult<ModelStatus> status = parts_.models.status(model);
  if (!status) return std::nullopt;
  TrialPlace found;
  {
    const std::lock_guard lock(mutex_);
    const auto it = active_.find(status->source.name);
    if (it == active_.end() || it->second->stage != Stage::kRunning) return std::nullopt;
    found.trial = it->second->id;
    const CanaryRequest& request = it->second->request;
    if (request.window_seconds > 0) {
      const double seconds = it->second->trial->seconds(parts_.clock.monotonic_seconds());
      const auto window = static_cast<std::int64_t>(seconds / request.window_seconds);
      found.is_changed = is_changed_window(window, request.share);
    } else {
      found.is_changed = place_of(found.trial, key) < request.share;
    }
    if (it->second->request.change.is_of_server()) {
      found.reads_cache = found.is_changed == (it->second->cache_before.bytes_max == 0);
      place = found;
      return std::nullopt;
    }
  }
  if (!found.is_changed) {
    place = found;
    return std::nullopt;
  }
  auto use = parts_.models.find_canary(model);
  if (use) place = found;
  return use;
}

void Canaries::note(const TrialPlace& place, const std::string& id, const TrialRequest& request) {
  const std::lock_guard lock(mutex_);
  const ActivePtr active = find(place.trial);
  if (active == nullptr || active->stage != Stage::kRunning) return;
  const TrialSide side = place.is_changed ? TrialSide::kChanged : TrialSide::kBefore;
  active->trial->add(side, request);
  if (active->sides.emplace(id, side).second) active->ids.push_back(id);
  if (active->ids.size() > kScoredMax) {
    active->sides.erase(active->ids.front());
    active->ids.pop_front();
  }
  has_news_ = true;
  wakes_.notify_all();
}

void Canaries::note_score(const std::string& request_id, std::string_view name, double value) {
  if (running_ == 0) return;
  const std::lock_guard lock(mutex_);
  for (const auto& [model, active] : active_) {
    if (active->stage != Stage::kRunning) continue;
    const auto side = active->sides.find(request_id);
    if (side == active->sides.end()) continue;
    active->trial->add_score(side->second, name, value);
    has_news_ = true;
    wakes_.notify_all();
  }
}

void Canaries::run() {
  std::unique_lock lock(mutex_);
  while (!is_stopping_) {
    if (running_ == 0) {
      wakes_.wait(lock, [this] { return is_stopping_ || running_ > 0; });
    } else {
      wakes_.wait_for(lock, kLookInterval, [this] { return is_stopping_ || has_news_; });
    }
    has_news_ = false;
    if (is_stopping_) return;
    std::vector<std::pair<ActivePtr, TrialOutcome>> ended;
    const double now = parts_.clock.monotonic_seconds();
    std::vector<ActivePtr> all;
    for (const auto& [model, active] : active_) all.push_back(active);
    for (const ActivePtr& active : all) {
      if (active->stage != Stage::kRunning) continue;
      const TrialOutcome outcome = outcome_of(*active, now);
      if (outcome.verdict == TrialVerdict::kRunning) continue;
      active->stage = Stage::kEnding;
      active->ending_since = now;
      ended.emplace_back(active, outcome);
    }
    lock.unlock();
    for (const auto& [active, outcome] : ended) {
      while (!end(active, outcome, kOwnActor)) {
        std::unique_lock wait(mutex_);
        if (wakes_.wait_for(wait, kLookInterval, [this] { return is_stopping_; })) break;
      }
    }
    lock.lock();
  }
}

TrialOutcome Canaries::outcome_of(Active& active, double now) const {
  const ApiResult<ModelStatus> status = parts_.models.status(active.request.model);
  if (!status || status->source != active.before) {
    return {TrialVerdict::kInconclusive, "the model itself was changed or taken away meanwhile"};
  }
  if (active.request.change.is_of_server() && parts_.cache() != active.cache_before) {
    return {TrialVerdict::kInconclusive, "the cache of answers was changed meanwhile"};
  }
  return active.trial->look(now);
}

Result<void> Canaries::keep(const Active& active) {
  const CanaryChange& change = active.request.change;
  if (!change.is_of_server()) return parts_.models.keep_canary(active.request.model);
  parts_.keep_cache(changed(active.cache_before, change));
  is_cache_borrowed_ = false;
  return {};
}

void Canaries::take_back(const Active& active) {
  if (!active.request.change.is_of_server()) {
    return parts_.models.drop_canary(active.request.model);
  }
  parts_.try_cache(parts_.cache());
  is_cache_borrowed_ = false;
}

bool Canaries::end(const ActivePtr& active, TrialOutcome outcome, const std::string& actor) {
  const std::string& model = active->request.model;
  std::string kind = trial_verdict_name(outcome.verdict);
  if (outcome.verdict == TrialVerdict::kKept) {
    const Result<void> kept = keep(*active);
    const double tried = parts_.clock.monotonic_seconds() - active->ending_since;
    if (!kept && kept.error().code == ErrorCode::kUnavailable && tried < kKeepSeconds) return false;
    if (!kept) {
      kind = "failed";
      outcome.reason += "; it could not be kept: " + kept.error().text();
    }
  }
  if (kind != "kept") take_back(*active);
  std::vector<TrialMeasure> measures;
  {
    const std::lock_guard lock(mutex_);
    measures = active->trial->measures();
  }
  log_info(fmt::format("{}: the change '{}' ({}) is {}: {}", model, active->request.action,
                       active->id, kind, outcome.reason));
  write(*active, "measured", kOwnActor, "", parts_.measured(measures));
  write(*active, kind, actor, outcome.reason);
  parts_.audit({actor, "canary." + kind, model, outcome.reason});
  counter_of(kind).add();
  forget(active);
  return true;
}

std::optional<ApiError> Canaries::stop(std::int64_t id, const std::string& actor) {
  ActivePtr active;
  {
    const std::lock_guard lock(mutex_);
    active = find(id);
    if (active == nullptr) {
      return ApiError{.status = 404,
                      .code = "canary_not_found",
                      .message = "no canary with this id runs",
                      .param = "canary_id"};
    }
    if (active->stage != Stage::kRunning) {
      return conflict("canary_busy", active->stage == Stage::kLoading
                                         ? "it is being loaded; stop it then"
                                         : "it is ending already");
    }
    active->stage = Stage::kEnding;
  }
  end(active, {TrialVerdict::kRolledBack, "stopped on request"}, actor);
  return std::nullopt;
}

void Canaries::stop_all() {
  std::vector<ActivePtr> left;
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
    for (const auto& [model, active] : active_) {
      if (active->stage != Stage::kRunning) continue;
      active->stage = Stage::kEnding;
      left.push_back(active);
    }
    wakes_.notify_all();
  }
  for (const ActivePtr& active : left) {
    end(active, {TrialVerdict::kInconclusive, "the server was stopped before its end"}, kOwnActor);
  }
  if (thread_.joinable()) thread_.join();
}

// What cannot be written has happened all the same.
void Canaries::write(const Active& active, std::string_view kind, const std::string& actor,
                     const std::string& detail, const std::string& measured) {
  const Result<void> written =
      ledger_.add_event(active.id, {.at_s = static_cast<std::int64_t>(parts_.clock.wall_seconds()),
                                    .kind = std::string(kind),
                                    .actor = actor,
                                    .detail = detail,
                                    .measured = measured});
  if (!written) log_error("the ledger of advice was not written: " + written.error().text());
}

}  // namespace paring::serve
