// SPDX-License-Identifier: Apache-2.0
// /v1/canaries and /v1/advice/ledger: changes that are tried on a share of the requests, and what
// became of those that were. Functions are stateless.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "serve/api_error.h"
#include "serve/canary/canaries.h"
#include "serve/wire/openai_files.h"
#include "serve/wire/shape.h"
#include "serve/wire/wire_rules.h"
#include "store/advice_ledger.h"

namespace paring::serve::wire {

// The path is as the client wrote it.
ApiResult<CanaryRequest> read_canary(std::string_view body, const WireRules& rules);
// For the ledger, with the path that was found.
std::string canary_parameters(const CanaryRequest& request);
// A JSON array.
std::string measures_json(std::span<const TrialMeasure> measures);

struct CanaryListCall {
  std::int64_t before = 0;
  std::int64_t limit = 0;
};
ApiResult<CanaryListCall> read_canary_list(const NamedTexts& query, const WireRules& rules);

// The id in the ledger of one in a path; nullopt: it is none.
std::optional<std::int64_t> canary_number(std::string_view id);

struct CanaryView {
  store::AdviceRow row;
  std::optional<CanaryStanding> standing;  // absent: it has ended
  bool shows_paths = false;                // to who may see those of the server
};
std::string canary_answer(const CanaryView& view);
std::string canary_list_answer(std::span<const CanaryView> views, bool has_more);
std::string advice_ledger_answer(std::span<const CanaryView> views, bool has_more,
                                 std::span<const store::AdviceResidual> residuals);

const Shape& canary_request();
const Shape& canary_list_query();
const Shape& canary_answer_shape();
const Shape& canary_list_answer_shape();
const Shape& advice_ledger_answer_shape();

}  // namespace paring::serve::wire
