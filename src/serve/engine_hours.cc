// SPDX-License-Identifier: Apache-2.0
#include "serve/engine_hours.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <utility>

#include "base/log.h"
#include "base/process.h"

namespace paring::serve {

namespace {

constexpr std::int64_t kHourSeconds = 3600;

// "{...}" and ",\"a\":1" become one object, with what the process takes now.
std::string with_extra(const std::string& facts, const std::string& extra) {
  std::string resident;
  if (const auto memory = process_memory()) {
    resident = fmt::format(",\"resident_bytes\":{}", memory->resident_bytes);
  }
  return facts.substr(0, facts.size() - 1) + extra + resident + "}";
}

}  // namespace

EngineHours::EngineHours(const store::TrafficDb& traffic, Recorders recorders, std::string extra,
                         const Clock& clock)
    : traffic_(traffic),
      recorders_(std::move(recorders)),
      extra_(std::move(extra)),
      clock_(clock),
      thread_(thread_names::kHours, [this] { run(); }) {}

EngineHours::~EngineHours() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  wakes_.notify_all();
  thread_.join();
  write();
}

// Steps count in the hour in which they are taken over: kLookSeconds late at most.
void EngineHours::look() {
  const auto hour_s = static_cast<std::int64_t>(
                          std::floor(clock_.wall_seconds() / static_cast<double>(kHourSeconds))) *
                      kHourSeconds;
  for (const auto& recorder : recorders_()) hours_.try_emplace(recorder, Hour{.hour_s = hour_s});
  for (auto& [recorder, hour] : hours_) {
    const engine::StepSums times = recorder->take();
    if (hour.hour_s != hour_s && hour.is_written) hour = {.hour_s = hour_s};
    if (times.steps() == 0) continue;
    hour.times.merge(times);
    hour.is_written = false;
  }
}

void EngineHours::write() {
  const std::lock_guard lock(work_mutex_);
  look();
  for (auto entry = hours_.begin(); entry != hours_.end();) {
    const StepRecorder& recorder = *entry->first;
    Hour& hour = entry->second;
    if (!hour.is_written) {
      const Result<void> done = traffic_.set_engine({.hour_s = hour.hour_s,
                                                     .model = recorder.model,
                                                     .variant = recorder.variant,
                                                     .loaded_s = recorder.loaded_s,
                                                     .facts = with_extra(recorder.facts, extra_),
                                                     .steps = hour.times.to_json()});
      hour.is_written = done.has_value();
      if (!done) log_warning("what steps took cannot be written: " + done.error().text());
    }
    // Nobody else has it: its model is gone.
    const bool is_over = hour.is_written && entry->first.use_count() == 1;
    entry = is_over ? hours_.erase(entry) : std::next(entry);
  }
}

void EngineHours::run() {
  double written = clock_.monotonic_seconds();
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      wakes_.wait_for(lock, std::chrono::duration<double>(kLookSeconds),
                      [this] { return is_stopping_; });
      if (is_stopping_) return;
    }
    const double now = clock_.monotonic_seconds();
    if (now - written >= kWriteSeconds) {
      written = now;
      write();
    } else {
      const std::lock_guard lock(work_mutex_);
      look();
    }
  }
}

}  // namespace paring::serve
