// SPDX-License-Identifier: Apache-2.0
// The server's side of what is kept of requests: rows of traffic, and spans for a collector.
#include <fmt/format.h>

#include <optional>
#include <utility>

#include "base/version.h"
#include "serve/canary/trial_request.h"
#include "serve/server.h"
#include "serve/traffic_row.h"
#include "store/marks_key.h"

namespace paring::serve {

store::TrafficRequest Server::row_of(const RequestFacts& facts) {
  store::TrafficRequest row = traffic_row(facts);
  const double work = work_seconds(facts);
  if (work > 0) {
    row.joules = energy_.charge(work);
    row.joules_kind = energy_.kind();
    row.money = options().prices.of_work(row.started_s, work, row.joules);
    const std::lock_guard lock(spent_mutex_);
    // A new price book may have another currency: sums begin again.
    if (spent_.currency != row.money.currency) spent_ = {.currency = row.money.currency};
    spent_.hardware += row.money.hardware;
    spent_.energy += row.money.energy;
  }
  return row;
}

Result<void> Server::keep_rows(std::unique_ptr<monitor::Traffic> traffic) {
  traffic_ = std::move(traffic);
  if (const auto& target = options().otlp) {
    PARING_TRY(exporter_, monitor::OtlpExporter::start(
                              {.target = *target, .resource = target->resource_with(version())}));
  }
  if (const auto& alerts = options().alerts) {
    const std::string& folder = options().data_folder;
    PARING_TRY(alerts_,
               monitor::Alerts::start(
                   {.alerts = *alerts,
                    .file = folder.empty() ? std::string() : folder + "/" + monitor::kAlertsFile},
                   this->traffic()));
  }
  if (traffic_ != nullptr) {
    PARING_TRY(marks_key_, store::marks_key(options().data_folder));
    const std::string extra =
        fmt::format(",\"response_cache_bytes\":{},\"response_cache_seconds\":{}",
                    options().cache.bytes_max, options().cache.seconds_max);
    engine_hours_ = std::make_unique<EngineHours>(
        traffic_->db(), [this] { return registry_->step_recorders(); }, extra);
  }
  if (!control_ && exporter_ == nullptr && alerts_ == nullptr) return {};
  const auto record = [this](const RequestFacts& facts) {
    const bool is_wanted =
        traffic_ != nullptr || exporter_ != nullptr || alerts_ != nullptr || facts.trial.trial != 0;
    if (is_wanted && has_row(facts)) keep(facts, {});
  };
  records_.log().set_observer(record);
  line_log_.set_observer(record);
  return {};
}

void Server::keep(const RequestFacts& facts, std::function<void(bool)> done) {
  store::TrafficRequest row = row_of(facts);
  if (alerts_ != nullptr) alerts_->observe(row);
  if (facts.trial.trial != 0) note_trial(*canaries_, facts, row);
  if (exporter_ != nullptr) {
    // Prompts and answers do not leave, nor are they copied for it.
    std::optional<store::TrafficContent> content = std::exchange(row.content, std::nullopt);
    exporter_->record(row);
    row.content = std::move(content);
  }
  if (traffic_ != nullptr) traffic_->writer().record(std::move(row), std::move(done));
}

void Server::keep_first(RequestRecord& record, int status, std::function<void()> send) {
  const bool waits = traffic_ != nullptr && record.is_work() &&
                     options().traffic->mode == monitor::TrafficMode::kSync;
  if (!waits) return send();
  RequestFacts facts = record.take_row();
  facts.end = {.status = status, .is_complete = true};
  // Whether or not it is stored: what is lost is counted, and the answer is there.
  keep(facts, [this, send = std::move(send)](bool) mutable { http_->post(std::move(send)); });
}

void Server::note_score(const store::ScoreRow& score) noexcept {
  if (!score.number || score.created_s != score.updated_s) return;
  if (canaries_ != nullptr && score.subject_kind == "response") {
    canaries_->note_score(score.subject_id, score.name, *score.number);
  }
  if (alerts_ == nullptr) return;
  alerts_->observe(monitor::SloScore{
      .tenant = score.tenant, .name = score.name, .source = score.source, .value = *score.number});
}

store::TrafficMoney Server::spent() const {
  store::TrafficMoney money = token_costs_.total();
  const std::lock_guard lock(spent_mutex_);
  if (spent_.currency.empty()) return money;
  // Those of another currency belong to the price book before.
  const double tokens = money.currency == spent_.currency ? money.tokens : 0;
  money = spent_;
  money.tokens = tokens;
  return money;
}

std::vector<store::ScoreSum> Server::score_sums() {
  return control_ ? scores_.sums(*control_) : std::vector<store::ScoreSum>();
}

}  // namespace paring::serve
