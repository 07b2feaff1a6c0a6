// SPDX-License-Identifier: Apache-2.0
// Schemas, expressions and grammars of strangers, and a few tokens drawn by what they compile to.
#pragma once

#include <cstddef>
#include <span>

namespace paring::fuzz {

void run_constraint(std::span<const std::byte> input);

}  // namespace paring::fuzz
