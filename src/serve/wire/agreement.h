// SPDX-License-Identifier: Apache-2.0
// GET /v1/scores/agreement: how far a judge agrees with people. Functions are stateless.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "improve/agreement.h"
#include "serve/api_error.h"
#include "serve/wire/openai_files.h"
#include "serve/wire/shape.h"
#include "serve/wire/wire_rules.h"

namespace paring::serve::wire {

struct AgreementCall {
  improve::Rating judge;
  std::optional<improve::Rating> human;
  std::size_t most = 0;
};
ApiResult<AgreementCall> read_agreement(const NamedTexts& query, const WireRules& rules);

std::string agreement_answer(const improve::RatingPairs& pairs,
                             const improve::Agreement& agreement);

const Shape& agreement_query();
const Shape& agreement_answer_shape();

}  // namespace paring::serve::wire
