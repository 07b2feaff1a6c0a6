// SPDX-License-Identifier: Apache-2.0
// Every architecture's translation, one object each, defined in the file of its name.
#pragma once

#include "model/architecture.h"

namespace paring::model {
extern const Architecture kBert;
extern const Architecture kDistilBert;
extern const Architecture kGemma2;
extern const Architecture kGemma3;
extern const Architecture kLlama;
extern const Architecture kMixtral;
extern const Architecture kPhi3;
extern const Architecture kQwen2;
extern const Architecture kQwen3;
extern const Architecture kQwen3Moe;
extern const Architecture kRoberta;
extern const Architecture kXlmRoberta;
}  // namespace paring::model
