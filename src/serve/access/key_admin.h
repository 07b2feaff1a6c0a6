// SPDX-License-Identifier: Apache-2.0
// Making, revoking and listing keys of control.db, for `paring keys` and administrative routes.
// Whatever is done is in the audit log. Thread-safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "serve/access/scopes.h"
#include "store/control_db.h"
#include "store/keys.h"

namespace paring::serve {

struct KeySpec {
  std::string name;
  std::string tenant = "default";
  ScopeSet scopes = default_scopes();
  std::optional<double> lifetime_seconds;
  store::KeyLimits limits;
};

// InvalidArgument: a name or tenant that is not 1 to 64 letters, digits and .-_ (a name may have
// blanks and @ as well), no scope, a limit that is not positive or above its bound, a budget twice.
Result<void> check_key_spec(const KeySpec& spec);

struct CreatedKey {
  std::string text;  // the secret, which is nowhere else from now on
  store::KeyRow row;
};

class KeyAdmin {
 public:
  // `actor`: who does it, for the audit log.
  KeyAdmin(const store::ControlDb& control, std::string actor, const Clock& clock = system_clock())
      : control_(control), actor_(std::move(actor)), clock_(clock) {}

  Result<CreatedKey> create(const KeySpec& spec) const;
  // `which`: an id, a name that one key has, or the first letters of a key (with or without pk-).
  // NotFound; InvalidArgument when several keys have the name.
  Result<store::KeyRow> find(std::string_view which) const;
  // At once, in every process. False when it was revoked before.
  Result<bool> revoke(std::string_view id) const;
  Result<std::vector<store::KeyRow>> list() const { return store::Keys(control_).list(); }

 private:
  std::int64_t now_s() const noexcept;
  Result<void> audit(const char* action, const std::string& object, const char* result,
                     std::string detail) const;

  const store::ControlDb& control_;
  std::string actor_;
  const Clock& clock_;
};

}  // namespace paring::serve
