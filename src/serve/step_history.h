// SPDX-License-Identifier: Apache-2.0
// StepHistory: what the steps of a model did, minute by minute, by what they were for: points of a
// roofline. The last kHistoryMinutes minutes are kept. Thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <vector>

namespace paring::serve {

inline constexpr std::size_t kHistoryMinutes = 60;

// What a step computed: enumerator, name in APIs
#define PARING_STEP_KINDS(X) \
  X(kPrefill, "prefill")     \
  X(kDecode, "decode")       \
  X(kMixed, "mixed")         \
  X(kEncode, "encode")

enum class StepKind : std::uint8_t {
#define PARING_X(name, text) name,
  PARING_STEP_KINDS(PARING_X)
#undef PARING_X
};
#define PARING_X(name, text) +1
inline constexpr std::size_t kStepKinds = 0 PARING_STEP_KINDS(PARING_X);
#undef PARING_X
const char* step_kind_name(StepKind kind) noexcept;

struct StepTotals {
  std::int64_t steps = 0;
  std::int64_t tokens = 0;  // computed, guesses included
  double seconds = 0;
  double waited_seconds = 0;  // of these, while more requests waited than could be taken
  double operations = 0;      // 2 a multiply-add, as the cost model counts them, as bytes are
  double bytes = 0;
  StepTotals& operator+=(const StepTotals& more) noexcept;
};

using StepsByKind = std::array<StepTotals, kStepKinds>;

struct StepMinute {
  std::int64_t minute = 0;  // since 1970
  StepsByKind kinds;
};

class StepHistory {
 public:
  // A step that ended at `wall_seconds` since 1970. A clock that went back counts for the minute
  // that was last.
  void add(double wall_seconds, StepKind kind, const StepTotals& step);
  // The minutes from `wall_seconds` - `minutes` * 60 on in which anything was computed, oldest
  // first. They are whole minutes: the first began up to 59 seconds earlier.
  std::vector<StepMinute> last(double wall_seconds, std::size_t minutes) const;

 private:
  mutable std::mutex mutex_;
  std::array<StepMinute, kHistoryMinutes> ring_;  // by minute % kHistoryMinutes; guarded
  std::int64_t newest_ = 0;                       // guarded
};

}  // namespace paring::serve
