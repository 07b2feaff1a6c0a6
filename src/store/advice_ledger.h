// SPDX-License-Identifier: Apache-2.0
// The ledger of advice: changes of how models are served, what was predicted of each before it was
// tried, and what was measured. The database itself refuses to change or remove a row, and to end a
// change twice. JSON is kept as the text that it is, once its type is right. Thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/control_db.h"

namespace paring::store {

// What the column may hold; the table checks the same. The last four are ends.
inline constexpr std::array<std::string_view, 6> kAdviceEvents = {
    "applied", "measured", "kept", "rolled_back", "inconclusive", "failed"};

struct AdviceEvent {
  std::int64_t at_s = 0;
  std::string kind;  // of kAdviceEvents
  std::string actor;
  std::string detail;
  std::string measured = "[]";  // of objects: metric, before, after, low, high, n
};

struct AdviceRow {
  std::int64_t id = 0;  // given by append(), ascending
  std::int64_t made_s = 0;
  std::string made_by;
  std::string model;
  std::string variant_before;
  std::string action;             // "prefix_cache"
  std::string parameters = "{}";  // a JSON object
  std::string prediction = "[]";  // of objects: metric, now, low, expected, high
  std::string predicted_loss;
  std::vector<AdviceEvent> events = {};  // oldest first; not written by append()
  // Of the event that ended it; empty: it has not ended.
  std::string verdict() const;
};

// How far a prediction was off: the change that was measured over the one that was predicted,
// (after / before) / (expected / now) - 1.
struct AdviceResidual {
  std::int64_t advice_id = 0;
  std::string action;
  std::string metric;
  double value = 0;
};

class AdviceLedger {
 public:
  explicit AdviceLedger(const ControlDb& control) : control_(control) {}

  // Returns the id. InvalidArgument where JSON is of another type than it has to be.
  Result<std::int64_t> append(const AdviceRow& row) const;
  // InvalidArgument: there is no such advice, it has ended, or there is no such kind.
  Result<void> add_event(std::int64_t advice, const AdviceEvent& event) const;
  Result<std::optional<AdviceRow>> find(std::int64_t id) const;
  // Rows with an id below `before` (0: all), newest first, at most `limit`.
  Result<std::vector<AdviceRow>> list(std::int64_t before, std::int64_t limit) const;
  // Those that have not ended.
  Result<std::vector<AdviceRow>> open_ones() const;
  // Of every metric that was predicted and measured, newest first, at most `limit`; an action's
  // only, or where `action` is empty everybody's.
  Result<std::vector<AdviceResidual>> residuals(std::string_view action, std::int64_t limit) const;

 private:
  const ControlDb& control_;
};

}  // namespace paring::store
