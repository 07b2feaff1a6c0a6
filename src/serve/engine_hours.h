// SPDX-License-Identifier: Apache-2.0
// EngineHours: writes down, by the hour, what models were computed with and what their steps took,
// so that advice can be had of times that are past, and after the server has ended. Every
// kLookSeconds it looks which models there are, every kWriteSeconds and at its end it writes; a
// killed process loses what came since. Has a thread of its own.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "base/clock.h"
#include "base/thread.h"
#include "serve/step_recorder.h"
#include "store/traffic.h"

namespace paring::serve {

class EngineHours {
 public:
  using Recorders = std::function<std::vector<std::shared_ptr<StepRecorder>>()>;
  static constexpr double kLookSeconds = 5;
  static constexpr double kWriteSeconds = 60;

  // `traffic` and what `recorders` uses must outlive this. `extra`: facts of the server, a JSON
  // object without its braces, "" or with a comma in front.
  EngineHours(const store::TrafficDb& traffic, Recorders recorders, std::string extra,
              const Clock& clock = system_clock());
  ~EngineHours();
  EngineHours(const EngineHours&) = delete;
  EngineHours& operator=(const EngineHours&) = delete;

  // Writes now. What cannot be written is logged and kept.
  void write();

 private:
  struct Hour {
    std::int64_t hour_s = 0;
    engine::StepSums times{};
    bool is_written = true;
  };
  void look();
  void run();

  const store::TrafficDb& traffic_;
  const Recorders recorders_;
  const std::string extra_;
  const Clock& clock_;
  std::mutex mutex_;
  std::condition_variable wakes_;
  bool is_stopping_ = false;                             // guarded by mutex_
  std::map<std::shared_ptr<StepRecorder>, Hour> hours_;  // guarded by work_mutex_
  std::mutex work_mutex_;
  Thread thread_;
};

}  // namespace paring::serve
