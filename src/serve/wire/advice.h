// SPDX-License-Identifier: Apache-2.0
// GET /v1/advice: what to change about this server. The answer is advise/advice_json.h's. Functions
// are stateless.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "serve/api_error.h"
#include "serve/wire/openai_files.h"
#include "serve/wire/shape.h"
#include "serve/wire/wire_rules.h"

namespace paring::serve::wire {

struct AdviceCall {
  std::string model;  // "": that of the last steps
  std::int64_t hours = 24;
  std::size_t clients = 0;  // 0: as many sequences as ran together
};
ApiResult<AdviceCall> read_advice(const NamedTexts& query, const WireRules& rules);
const Shape& advice_query();
const Shape& advice_answer_shape();

}  // namespace paring::serve::wire
