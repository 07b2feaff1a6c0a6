// SPDX-License-Identifier: Apache-2.0
// GET /v1/quality: how far the answers of live traffic are from those of the original, and what is
// kept of one answer. Functions are stateless.
#pragma once

#include <span>
#include <string>

#include "measure/rescoring.h"
#include "monitor/live_quality.h"
#include "serve/wire/shape.h"

namespace paring::serve::wire {

struct QualityStanding {
  std::string model;
  std::string original;
  double share = 0;         // of answers, 0 to 1
  double drift_factor = 0;  // times the certificate's KL
  std::size_t waiting = 0;
  monitor::LiveStanding now;
};
std::string quality_answer(std::span<const QualityStanding> standings);
const Shape& quality_answer_shape();

// A JSON object, for the metadata of the score of one answer.
std::string quality_metadata(const measure::RescoredAnswer& answer, const std::string& original);

}  // namespace paring::serve::wire
