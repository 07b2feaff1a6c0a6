// SPDX-License-Identifier: Apache-2.0
// A comparison with another engine as JSON, as text for people and as Markdown for documents.
#pragma once

#include <string>

#include "cli/output.h"
#include "cost/machine.h"
#include "measure/versus/versus.h"

namespace paring::cli {

struct VersusReport {
  std::string model;  // as the user named it
  std::uint64_t model_bytes = 0;
  measure::VersusOptions options;
  measure::VersusResult result;
  measure::PeerIdentity peer;
  cost::Machine machine;
  cost::Probes probes;
};

Json versus_json(const VersusReport& report);
std::string versus_text(const VersusReport& report);
// A heading of the model's file name, the table, and what it was measured with.
std::string versus_markdown(const VersusReport& report);

}  // namespace paring::cli
