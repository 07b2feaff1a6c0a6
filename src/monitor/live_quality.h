// SPDX-License-Identifier: Apache-2.0
// LiveQuality: what answers that were re-scored by the original say of a model as it is used: KL
// divergence and agreement with intervals, and whether they have drifted from what its certificate
// promised. Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>

#include "measure/rescoring.h"

namespace paring::monitor {

// Whether live answers are farther from the original's than the certificate allows.
// enumerator, name in APIs
#define PARING_DRIFTS(X)                                                           \
  X(kUncertified, "uncertified") /* the file holds no certificate to hold it to */ \
  X(kLearning, "learning")       /* too few answers yet */                         \
  X(kKept, "kept")                                                                 \
  X(kDrifted, "drifted")

enum class Drift : std::uint8_t {
#define PARING_X(name, text) name,
  PARING_DRIFTS(PARING_X)
#undef PARING_X
};
const char* drift_name(Drift drift) noexcept;

// A mean over tokens whose interval takes answers, not tokens, for independent.
struct LiveMean {
  double mean = 0;
  // Of 95 %; absent: fewer than LiveQuality::kIntervalAnswersMin answers.
  std::optional<double> low{};
  std::optional<double> high{};
};

struct LiveStanding {
  std::int64_t answers = 0;          // ever
  std::int64_t tokens = 0;           // ever
  std::int64_t window_answers = 0;   // the last ones, which the rest is of
  LiveMean kl;                       // nats a token
  LiveMean same_top;                 // part of tokens
  std::int64_t changed_answers = 0;  // in which the original would have gone another way
  std::optional<double> certified_kl;
  Drift drift = Drift::kUncertified;
};

class LiveQuality {
 public:
  struct Options {
    std::optional<double> certified_kl{};  // mean KL as served; absent: no certificate
    double drift_factor = 2;               // times certified_kl that are still kept
    std::size_t window_answers = 1000;
  };
  static constexpr std::int64_t kIntervalAnswersMin = 10;
  static constexpr std::int64_t kDriftAnswersMin = 30;

  explicit LiveQuality(const Options& options) : options_(options) {}
  // Returns whether the drift is another than before: an alarm, or its end. It begins when the
  // whole interval lies above drift_factor * certified_kl, and ends when the mean is below it.
  bool add(const measure::RescoredAnswer& answer);
  LiveStanding standing() const;

 private:
  LiveStanding standing_now() const;  // with the mutex
  Options options_;
  mutable std::mutex mutex_;
  std::deque<measure::RescoredAnswer> window_;  // guarded by mutex_, as are the following
  std::int64_t answers_ = 0;
  std::int64_t tokens_ = 0;
  Drift drift_ = Drift::kUncertified;
};

}  // namespace paring::monitor
