// SPDX-License-Identifier: Apache-2.0
// /v1/advice: what to change about this server, from its traffic. For administrators: it sees all
// tenants' requests, and names files. Types of weights are left to `paring advise`, which times
// products: here they would take the processors from answers.
#include "serve/wire/advice.h"

#include <atomic>

#include "advise/advice_json.h"
#include "base/clock.h"
#include "cost/machine.h"
#include "serve/batch/storage_failure.h"
#include "serve/routes/handlers.h"
#include "serve/server.h"
#include "store/advice_ledger.h"

namespace paring::serve {

namespace {

constexpr double kHourSeconds = 3600;
constexpr std::int64_t kResidualsMax = 1000;

// A replay takes a second of a processor: one at a time.
class Turn {
 public:
  Turn() : is_mine_(!busy().exchange(true)) {}
  ~Turn() {
    if (is_mine_) busy() = false;
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  bool is_mine() const noexcept { return is_mine_; }

 private:
  static std::atomic<bool>& busy() {
    static std::atomic<bool> value{false};
    return value;
  }
  bool is_mine_;
};

ApiError advice_error(const Error& error) {
  if (error.code == ErrorCode::kNotFound || error.code == ErrorCode::kUnavailable) {
    return {404, "no_traffic", error.text(), ""};
  }
  return storage_failure("traffic", error);
}

}  // namespace

void serve_advice(Server& server, const Call& call) {
  const ApiResult<wire::AdviceCall> asked =
      wire::read_advice(call.exchange->head().query, server.rules());
  if (!asked) return server.refuse(call, asked.error());
  const store::ControlDb* const control = server.control(call);
  if (control == nullptr) return;
  const store::TrafficDb* const traffic = server.traffic();
  if (traffic == nullptr) {
    return server.refuse(call, {501, "not_supported",
                                "this server keeps nothing of its requests: it was started with "
                                "--traffic off",
                                ""});
  }
  const Turn turn;
  if (!turn.is_mine()) {
    return server.refuse(call, {503, "busy", "Advice is being made for somebody else.", ""});
  }
  server.write_engine_hours();
  const double now = system_clock().wall_seconds();
  const Result<advise::TrafficSample> sample = advise::read_sample(
      *traffic,
      {.model = asked->model, .from_s = now - static_cast<double>(asked->hours) * kHourSeconds});
  if (!sample) return server.refuse(call, advice_error(sample.error()));
  advise::AdvisorOptions options;
  options.clients = asked->clients;
  const cost::Machine machine = cost::read_machine();
  options.usable_cores = machine.usable_cores;
  options.free_bytes = static_cast<double>(machine.memory_available_bytes.value_or(0));
  const auto residuals = store::AdviceLedger(*control).residuals("", kResidualsMax);
  if (!residuals) return server.refuse(call, storage_failure("advice", residuals.error()));
  for (const store::AdviceResidual& row : *residuals) {
    if (const auto action = advise::find_advice_action(row.action)) {
      options.residuals.push_back({*action, row.value});
    }
  }
  server.respond(call, 200, "application/json",
                 advise::advice_json(*sample, advise::advise_on(*sample, options)));
}

}  // namespace paring::serve
