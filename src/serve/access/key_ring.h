// SPDX-License-Identifier: Apache-2.0
// From what a request shows to a Principal. Each look-up reads the database, so that a revocation
// holds from the next request on, whoever made it. Thread-safe.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "serve/access/key_file.h"
#include "serve/access/principal.h"
#include "serve/api_error.h"
#include "store/control_db.h"

namespace paring::serve {

// The key of a request's headers: "Authorization: Bearer KEY", "x-api-key: KEY", or the password of
// "Authorization: Basic"; "" when there is none. Another scheme, or two keys that differ, is
// refused: who is meant must be beyond doubt.
ApiResult<std::string> presented_key(std::optional<std::string_view> authorization,
                                     std::optional<std::string_view> api_key);

class KeyRing {
 public:
  enum class WithoutKey : std::uint8_t {
    kRefuse,
    // For a server that listens to its own machine only, until the first key is made in the
    // database. What is shown and cannot be a key of the database counts as none.
    kAnonymous,
  };
  // `control` may be null: then the keys of files are all there are. It must outlive this.
  KeyRing(const store::ControlDb* control, std::vector<FileKey> file_keys, WithoutKey without_key,
          const Clock& clock = system_clock());

  // Who shows `key`. 401 without a key, for an unknown, revoked or expired one; a wrong secret and
  // an unknown key are told apart neither by text nor by time. 503 when the database fails.
  ApiResult<Principal> authenticate(std::string_view key);
  // Who has the key of this id (Principal::key_id), for work that goes on when its client has left.
  // 401 when the key is gone, revoked or expired, or is of another tenant than it was.
  ApiResult<Principal> find(const std::string& key_id, const std::string& tenant);
  // Other keys of files from the next request on.
  void replace(std::vector<FileKey> file_keys, WithoutKey without_key);

 private:
  using FileKeys = std::map<Sha256Digest, Principal>;

  static ApiResult<Principal> principal_of(const store::KeyRow& key, double wall_s);
  ApiResult<Principal> from_database(std::string_view key);
  // Of a request that shows no key, or what cannot be one of the database.
  ApiResult<Principal> without_key(ApiError refusal);
  void note_use(const std::string& key_id, double now);

  const store::ControlDb* control_;
  std::atomic<WithoutKey> without_key_;
  const Clock& clock_;
  std::mutex reading_;  // held while without_key() asks the database
  std::mutex mutex_;
  std::shared_ptr<const FileKeys> file_keys_;  // guarded by mutex_; what it shows never changes
  std::unordered_map<std::string, double> noted_at_;  // monotonic seconds, of keys of the database
};

// 403 with the name of the scope when the principal lacks it.
std::optional<ApiError> check_scope(const Principal& principal, Scope scope);

}  // namespace paring::serve
