// SPDX-License-Identifier: Apache-2.0
// The file of 'paring score --scorers' (docs/howto/score-answers.md).
//
//   scorers:
//     has_ticket:
//       kind: regex
//       pattern: 'T-[0-9]{6}'
//     brief:
//       kind: length
//       unit: words
//       max: 200
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "improve/scorers/scorer.h"

namespace paring::cli {

// In the order of the file. InvalidArgument, with file and line: what is no such file, and scorers
// that cannot be made. Errors of read_small_file().
Result<std::vector<std::unique_ptr<improve::Scorer>>> read_scorers_file(
    const std::string& path, const improve::ScorerTools& tools);

}  // namespace paring::cli
