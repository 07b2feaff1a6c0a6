// SPDX-License-Identifier: Apache-2.0
// What limits the next token of one sequence: a grammar, a schema, a list of choices. The engine
// asks for the tokens that may come next while it computes a step, and says which one was picked;
// between the two, an implementation computes the next set on a thread of its own.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "engine/sampler.h"

namespace paring::engine {

class TokenConstraint {
 public:
  virtual ~TokenConstraint() = default;
  // What may come next; valid until accept(). Called on a worker, may wait for the set to be ready.
  // An error, and a set without any token, fail the sequence: it never goes on without its limits.
  virtual Result<TokenSet> allowed() = 0;
  // `token` was picked. On the engine's thread, must not compute the next set there.
  virtual Result<void> accept(std::int32_t token) = 0;
};

}  // namespace paring::engine
