// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/roofline.h"

#include <algorithm>
#include <vector>

#include "base/clock.h"
#include "serve/routes/handlers.h"
#include "serve/server.h"

namespace paring::serve {

namespace {

constexpr double kMinuteSeconds = 60;

wire::ModelRoofline roofline_of(const ServedModel& model, std::size_t minutes,
                                const cost::Probes* probes) {
  const double now = system_clock().wall_seconds();
  const EngineLoad load = model.load();
  wire::ModelRoofline found{.model = model.name(),
                            .variant = model.variant(),
                            .running = load.running,
                            .waiting = load.waiting,
                            .minutes = model.history().last(now, minutes),
                            .verdict = {}};
  // Whole minutes: the oldest of them began up to a minute before the asked time.
  double begin = now - kMinuteSeconds * static_cast<double>(minutes);
  if (!found.minutes.empty()) {
    begin = std::min(begin, kMinuteSeconds * static_cast<double>(found.minutes.front().minute));
  }
  found.elapsed_seconds = std::min(model.loaded_seconds(), now - begin);
  found.verdict = judge_steps(found.minutes, found.elapsed_seconds, probes);
  return found;
}

}  // namespace

void serve_roofline(Server& server, const Call& call) {
  const auto minutes = wire::read_roofline(call.exchange->head().query, server.rules());
  if (!minutes) return server.refuse(call, minutes.error());
  std::vector<wire::ModelRoofline> models;
  for (const ModelStatus& status : server.models().list()) {
    if (status.model == nullptr) continue;
    models.push_back(roofline_of(*status.model, *minutes, server.probes()));
  }
  server.respond(call, 200, "application/json",
                 wire::roofline_answer(models, *minutes, server.probes()));
}

}  // namespace paring::serve
