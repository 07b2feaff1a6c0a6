// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <array>

#include "measure/tasks/task.h"

namespace paring::measure {

extern const Task kHellaswag, kArcEasy, kArcChallenge, kPiqa, kOpenbookqa, kCopa, kLambadaOpenai,
    kGsm8k;

namespace {

// The one list of tasks.
constexpr std::array kTasks{
    &kHellaswag, &kArcEasy, &kArcChallenge, &kPiqa, &kOpenbookqa, &kCopa, &kLambadaOpenai, &kGsm8k,
};

}  // namespace

std::span<const Task* const> tasks() noexcept { return kTasks; }

Result<const Task*> find_task(std::string_view name) {
  std::string known;
  for (const Task* task : kTasks) {
    if (name == task->name) return task;
    known += known.empty() ? task->name : fmt::format(", {}", task->name);
  }
  return not_found(fmt::format("there is no task '{}'", name), "known are " + known);
}

}  // namespace paring::measure
