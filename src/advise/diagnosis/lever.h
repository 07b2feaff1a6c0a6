// SPDX-License-Identifier: Apache-2.0
// What to do about a verdict: a sentence, and a command or a prompt to use as it is. Pure
// functions.
#pragma once

#include <string>
#include <vector>

#include "advise/diagnosis/diagnosis.h"

namespace paring::advise {

struct Lever {
  std::string action;   // one sentence
  std::string command;  // for the shell; empty: nothing to run
  std::string prompt;   // one that was answered rightly, as JSON; empty: none was
};

// Names as the user gave them; empty where there was none.
struct LeverNames {
  std::string model;
  std::string original;
  std::string documents;
};

// One an axis at fault. REQUIRES: the case was diagnosed.
std::vector<Lever> levers_for(const CaseReport& report, const LeverNames& names);

}  // namespace paring::advise
