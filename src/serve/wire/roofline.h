// SPDX-License-Identifier: Apache-2.0
// GET /v1/roofline: what the steps of each model did against the limits of the machine. Functions
// are stateless.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "cost/probes.h"
#include "serve/api_error.h"
#include "serve/roofline.h"
#include "serve/wire/detail/flat_fields.h"
#include "serve/wire/shape.h"
#include "serve/wire/wire_rules.h"

namespace paring::serve::wire {

struct ModelRoofline {
  std::string model;
  std::string variant;
  std::size_t running = 0;
  std::size_t waiting = 0;
  double elapsed_seconds = 0;  // that the minutes lie in
  std::vector<StepMinute> minutes;
  RooflineVerdict verdict;
};

// The minutes that are asked for.
ApiResult<std::size_t> read_roofline(const FlatFields& query, const WireRules& rules);
// `probes`: null where the machine was not measured.
std::string roofline_answer(std::span<const ModelRoofline> models, std::size_t minutes,
                            const cost::Probes* probes);

const Shape& roofline_query();
const Shape& roofline_answer_shape();

}  // namespace paring::serve::wire
