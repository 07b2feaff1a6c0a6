// SPDX-License-Identifier: Apache-2.0
// A constraint as the grammars that the bridge compiles. For the .cc files of this module only.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "text/constraint.h"

namespace paring::text {

struct GrammarPart {
  std::string name;    // how others refer to it
  std::string source;  // JSON schema or Lark
  bool is_schema = false;
  bool is_foreign = false;  // Lark of a client
};

// The first part begins. The tokenizer tells which triggers are special tokens. InvalidArgument
// beyond the limits of constraint.h.
Result<std::vector<GrammarPart>> grammar_parts(const ConstraintSpec& spec,
                                               const Tokenizer& tokenizer);

}  // namespace paring::text
