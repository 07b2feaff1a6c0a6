// SPDX-License-Identifier: Apache-2.0
// Who a request comes from, once its key was checked. Plain data.
#pragma once

#include <cstdint>
#include <string>

#include "serve/access/scopes.h"
#include "store/keys.h"

namespace paring::serve {

enum class PrincipalKind : std::uint8_t {
  kDatabase,   // a key of control.db
  kFile,       // a key of the operator's file or environment
  kAnonymous,  // no key, where the server needs none
};

struct Principal {
  PrincipalKind kind = PrincipalKind::kAnonymous;
  std::string key_id;  // no secret: "key_...", "file:NAME", "anonymous"
  std::string tenant;  // whose files, caches and batches it sees
  std::string name;
  ScopeSet scopes;
  store::KeyLimits limits;  // limits.weight is its share of the scheduler beside other keys
};

inline constexpr const char* kDefaultTenant = "default";

// For a server without keys: everything but administration.
inline Principal anonymous_principal() {
  ScopeSet scopes = default_scopes();
  scopes.add(Scope::kMetrics);
  return {PrincipalKind::kAnonymous, "anonymous", kDefaultTenant, "anonymous", scopes, {}};
}

}  // namespace paring::serve
