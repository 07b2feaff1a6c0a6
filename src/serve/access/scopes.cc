// SPDX-License-Identifier: Apache-2.0
#include "serve/access/scopes.h"

#include <fmt/format.h>

#include "base/text.h"

namespace paring::serve {

namespace {

struct ScopeRow {
  Scope scope;
  const char* name;
};
constexpr ScopeRow kScopes[] = {
#define PARING_X(name, text, help) {Scope::name, text},
    PARING_SCOPES(PARING_X)
#undef PARING_X
};

Result<Scope> parse_scope(std::string_view name) {
  std::string known;
  for (const ScopeRow& row : kScopes) {
    if (name == row.name) return row.scope;
    known += known.empty() ? "" : ", ";
    known += row.name;
  }
  return invalid_argument(fmt::format("'{}' is no scope", escape_control(name)),
                          "choose of " + known);
}

}  // namespace

const char* scope_name(Scope scope) noexcept {
  return kScopes[static_cast<std::size_t>(scope)].name;
}

std::string ScopeSet::text() const {
  std::string text;
  for (const ScopeRow& row : kScopes) {
    if (!has(row.scope)) continue;
    text += text.empty() ? "" : ",";
    text += row.name;
  }
  return text;
}

Result<ScopeSet> parse_scopes(std::string_view text) {
  ScopeSet scopes;
  while (true) {
    const std::size_t comma = text.find(',');
    PARING_TRY(const Scope scope, parse_scope(text.substr(0, comma)));
    scopes.add(scope);
    if (comma == std::string_view::npos) return scopes;
    text.remove_prefix(comma + 1);
  }
}

ScopeSet default_scopes() noexcept {
  ScopeSet scopes;
  for (const Scope scope : {Scope::kInference, Scope::kEmbeddings, Scope::kBatches}) {
    scopes.add(scope);
  }
  return scopes;
}

ScopeSet all_scopes() noexcept {
  ScopeSet scopes;
  for (const ScopeRow& row : kScopes) scopes.add(row.scope);
  return scopes;
}

}  // namespace paring::serve
