// SPDX-License-Identifier: Apache-2.0
// How each family of pre-tokenizers splits. For pre_tokenizer.cc only. Any thread.
#pragma once

#include <span>
#include <string_view>

#include "base/check.h"
#include "text/pre_tokenizer.h"

namespace paring::text {

// REQUIRES: a family that find_pre_tokenizer() gives.
std::span<const SplitStage> stages_of_family(std::string_view family);

}  // namespace paring::text
