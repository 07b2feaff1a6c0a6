// SPDX-License-Identifier: Apache-2.0
// What the steps of a model did since it was loaded. Plain data.
#pragma once

namespace paring::serve {

struct ModelTotals {
  double seconds = 0;
  double operations = 0;  // 2 a multiply-add, as the cost model counts them, as bytes are
  double bytes = 0;
};

}  // namespace paring::serve
