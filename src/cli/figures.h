// SPDX-License-Identifier: Apache-2.0
// Figures of the measure module as JSON and as text for people: one place, so that every command
// shows them alike.
#pragma once

#include <string>

#include "cli/output.h"
#include "measure/bench.h"
#include "measure/compare.h"
#include "measure/windows.h"

namespace paring::cli {

Json perplexity_json(const measure::Perplexity& perplexity);
Json divergence_json(const measure::Divergence& divergence);
Json windows_json(const measure::Windows& windows);
Json phase_json(const measure::PhaseSpeed& phase);

// "0.0488", "1.2e-05": four significant digits.
std::string format_kl(double kl);
// "91.42 %"
std::string format_percent(double share);
// "1234", "88.1", "3.25": three or four digits.
std::string format_rate(double per_second);
// Multiplications and additions as "269.1 MFLOP".
std::string format_operations(double operations);

// Lines that describe a divergence.
std::string divergence_text(const measure::Divergence& divergence);

}  // namespace paring::cli
