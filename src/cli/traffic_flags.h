// SPDX-License-Identifier: Apache-2.0
// The options that choose among stored requests: --from, --to, --model and the like. One object a
// command.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "base/result.h"
#include "store/traffic_rows.h"

namespace paring::cli {

class TrafficFilterFlags {
 public:
  // REQUIRES: this outlives the parsing of `app`.
  void add_to(CLI::App& app);
  // InvalidArgument, naming the option: a time that is none.
  Result<store::TrafficFilter> read() const;

 private:
  store::TrafficFilter filter_;
  std::string from_;
  std::string to_;
  std::string cache_;
};

}  // namespace paring::cli
