// SPDX-License-Identifier: Apache-2.0
// The file of --slo: objectives, and who is told when one is in danger (deploy/slo.yaml).
//
//   objectives:
//     chat-first-token:
//       kind: latency
//       ttft: 2s
//       target: 99%
//   webhooks:
//     pager:
//       url: https://pager.example.com/hook
//       bearer_file: /etc/paring/pager.token
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "monitor/alerts.h"

namespace paring::cli {

// What a variable of the environment is; nothing: it is not set.
using SloEnvironment = std::function<std::optional<std::string>(const std::string& name)>;

// InvalidArgument, with file, line, field, value and limit: what is no such file, and objectives
// that cannot be held. Secrets are not in it. Errors of read_small_file(), of the files of secrets
// as well.
Result<monitor::AlertOptions> read_slo_file(const std::string& path,
                                            const SloEnvironment& environment);
// With the process's environment.
Result<monitor::AlertOptions> read_slo_file(const std::string& path);

}  // namespace paring::cli
