// SPDX-License-Identifier: Apache-2.0
// Figures of the measure module as JSON and as text for people: one place, so that every command
// shows them alike.
#pragma once

#include <string>
#include <vector>

#include "cli/output.h"
#include "measure/bench.h"
#include "measure/compare.h"
#include "measure/windows.h"

namespace paring::cli {

Json perplexity_json(const measure::Perplexity& perplexity);
Json divergence_json(const measure::Divergence& divergence);
Json windows_json(const measure::Windows& windows);
Json phase_json(const measure::PhaseSpeed& phase);
Json limits_json(const cost::Probes& probes);

// "0.0488", "1.2e-05": four significant digits.
std::string format_kl(double kl);
// "91.42 %"
std::string format_percent(double share);
// "1234", "88.1", "3.25": three or four digits.
std::string format_rate(double per_second);
// Multiplications and additions as "269.1 MFLOP".
std::string format_operations(double operations);

struct NamedDivergence {
  std::string name;  // how it was computed
  const measure::Divergence* figures;
};
// A column for each divergence. `protocol` labels the perplexities, "llama.cpp-512".
std::string divergence_table(const std::vector<NamedDivergence>& columns,
                             const std::string& protocol);

}  // namespace paring::cli
