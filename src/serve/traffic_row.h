// SPDX-License-Identifier: Apache-2.0
// From what is known of a request that has ended to its row in the database of traffic. Pure
// functions.
#pragma once

#include "serve/request_record.h"
#include "store/traffic_rows.h"

namespace paring::serve {

// Whether a request has a row: it asked for something that a model computes, whatever became of it.
bool has_row(const RequestFacts& facts);

// Tokens of an answer that was computed for another are cached ones and took no work. Without
// joules and money. Takes the content of what was computed or given again, so once.
store::TrafficRequest traffic_row(const RequestFacts& facts);
// Of steps, its share.
double work_seconds(const RequestFacts& facts) noexcept;

}  // namespace paring::serve
