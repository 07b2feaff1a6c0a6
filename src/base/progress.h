// SPDX-License-Identifier: Apache-2.0
// Progress of long work, on stderr: a bar that is redrawn on a terminal, a line now and then in a
// log, nothing when quiet. Work reports through ProgressSink and does not know which.
//
//   progress.begin("packing weights", file_bytes, ProgressUnit::kBytes);
//   progress.advance(tensor_bytes);
//   progress.end();
//
// One piece of work at a time; advance() may come from several threads.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace paring {

enum class ProgressUnit { kItems, kBytes };

class ProgressSink {
 public:
  virtual ~ProgressSink() = default;
  // Starts a piece of work of `total` units (0: not known). Ends the one before if it is still
  // open.
  virtual void begin(std::string_view label, std::uint64_t total,
                     ProgressUnit unit = ProgressUnit::kItems) = 0;
  virtual void advance(std::uint64_t units = 1) = 0;
  virtual void end() = 0;
};

enum class ProgressStyle { kSilent, kBar, kLines };

// The style for this process's stderr: silent when `is_quiet`, a bar on a terminal, else lines.
ProgressStyle progress_style(bool is_quiet) noexcept;

struct ProgressOptions {
  ProgressStyle style = ProgressStyle::kSilent;
  const Clock* clock = nullptr;                 // null: system_clock()
  std::function<void(std::string_view)> write;  // empty: stderr
};
std::unique_ptr<ProgressSink> make_progress(ProgressOptions options);

// Passes everything on to `sink`, with "PREFIX: " in front of labels: the same step of several
// pieces of work is told apart. `sink` must outlive it.
std::unique_ptr<ProgressSink> prefixed_progress(ProgressSink& sink, std::string prefix);

// A sink that shows nothing, for callers that have none.
ProgressSink& silent_progress() noexcept;

}  // namespace paring
