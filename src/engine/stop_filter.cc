// SPDX-License-Identifier: Apache-2.0
#include "engine/stop_filter.h"

#include <algorithm>
#include <utility>

namespace paring::engine {

std::string StopFilter::push(std::string_view piece) {
  if (is_stopped()) return {};
  pending_ += piece;
  std::size_t cut = std::string::npos;
  for (const std::string& stop : stops_) {
    const std::size_t at = stop.empty() ? std::string::npos : pending_.find(stop);
    if (at >= cut) continue;
    cut = at;
    stopped_by_ = &stop;
  }
  if (is_stopped()) {
    pending_.resize(cut);
    return std::exchange(pending_, {});
  }
  // The longest end of pending_ that begins a stop string waits for more text.
  std::size_t held = 0;
  for (const std::string& stop : stops_) {
    for (std::size_t n = std::min(stop.size(), pending_.size()); n > held; --n) {
      if (pending_.compare(pending_.size() - n, n, stop, 0, n) == 0) held = n;
    }
  }
  std::string ready = pending_.substr(0, pending_.size() - held);
  pending_.erase(0, pending_.size() - held);
  return ready;
}

std::string StopFilter::finish() { return std::exchange(pending_, {}); }

}  // namespace paring::engine
