// SPDX-License-Identifier: Apache-2.0
#include "serve/access/refusal.h"

#include <algorithm>
#include <cmath>

namespace paring::serve {

namespace {

struct RefusalRow {
  const char* name;
  int status;
  const char* code;
};
constexpr RefusalRow kRefusals[] = {
#define PARING_X(name, text, status, code) {text, status, code},
    PARING_REFUSALS(PARING_X)
#undef PARING_X
};

const RefusalRow& row_of(Refusal refusal) noexcept {
  return kRefusals[static_cast<std::size_t>(refusal)];
}

}  // namespace

const char* refusal_name(Refusal refusal) noexcept { return row_of(refusal).name; }

ApiError refuse(Refusal refusal, std::string message, std::optional<double> retry_after_seconds) {
  const RefusalRow& row = row_of(refusal);
  return {row.status, row.code, std::move(message), "", retry_after_seconds};
}

std::int64_t retry_after_header(double seconds) noexcept {
  constexpr double kLongest = 1e9;
  return static_cast<std::int64_t>(std::ceil(std::clamp(seconds, 1.0, kLongest)));
}

}  // namespace paring::serve
