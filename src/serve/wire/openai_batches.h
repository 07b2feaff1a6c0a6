// SPDX-License-Identifier: Apache-2.0
// POST and GET /v1/batches as OpenAI has them: what bodies, a list's query and the answers may
// hold. Functions are stateless.
#pragma once

#include <string_view>

#include "serve/batch/batch_json.h"
#include "serve/wire/openai_files.h"

namespace paring::serve::wire {

// completion_window is OpenAI's "24h", or any other number of hours or days up to 14 days.
ApiResult<BatchSpec> read_openai_batch(std::string_view body, const WireRules& rules);
ApiResult<store::PageRequest> read_batch_list(const NamedTexts& query, const WireRules& rules);

const Shape& openai_batch_request();
const Shape& batch_list_query();
const Shape& openai_batch_answer_shape();
const Shape& batch_list_answer_shape();

}  // namespace paring::serve::wire
