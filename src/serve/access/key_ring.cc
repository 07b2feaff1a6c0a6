// SPDX-License-Identifier: Apache-2.0
#include "serve/access/key_ring.h"

#include <fmt/format.h>

#include "base/log.h"
#include "base/text.h"
#include "serve/access/api_key.h"
#include "serve/access/refusal.h"
#include "store/keys.h"
#include "text/base64.h"

namespace paring::serve {

namespace {

// A use is written down at most so often a key: no write a request.
constexpr double kNoteSeconds = 60;

ApiError invalid_key() {
  return refuse(Refusal::kInvalidKey, "The API key is not valid. Check that it is complete.");
}

ApiError store_failed(const Error& error) {
  log_error("keys cannot be checked: " + error.text());
  constexpr double kRetrySeconds = 1;
  return refuse(Refusal::kStoreFailed, "The server cannot check keys at the moment.",
                kRetrySeconds);
}

std::string_view trimmed(std::string_view text) noexcept {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

}  // namespace

ApiResult<std::string> presented_key(std::optional<std::string_view> authorization,
                                     std::optional<std::string_view> api_key) {
  std::string bearer;
  if (authorization) {
    constexpr std::string_view kBearer = "bearer ";
    constexpr std::string_view kBasic = "basic ";
    const std::string_view value = trimmed(*authorization);
    if (ascii_lower(value.substr(0, kBearer.size())) == kBearer) {
      bearer = trimmed(value.substr(kBearer.size()));
    } else if (ascii_lower(value.substr(0, kBasic.size())) == kBasic) {
      // The password is the key (RFC 7617): so Langfuse's SDKs send their secret key.
      const auto both = text::base64_decoded(trimmed(value.substr(kBasic.size())));
      const std::size_t colon = both ? both->find(':') : std::string::npos;
      if (colon == std::string::npos) {
        return refuse(Refusal::kInvalidKey,
                      "The Authorization header must be 'Basic' with NAME:KEY in base64.");
      }
      bearer = both->substr(colon + 1);
    } else {
      return refuse(Refusal::kInvalidKey, "The Authorization header must be 'Bearer KEY'.");
    }
  }
  if (!api_key) return bearer;
  std::string plain(trimmed(*api_key));
  if (authorization && plain != bearer) {
    return refuse(Refusal::kInvalidKey,
                  "The Authorization and x-api-key headers hold different keys.");
  }
  return plain;
}

KeyRing::KeyRing(const store::ControlDb* control, std::vector<FileKey> file_keys,
                 WithoutKey without_key, const Clock& clock)
    : control_(control), without_key_(without_key), clock_(clock) {
  replace(std::move(file_keys), without_key);
}

void KeyRing::replace(std::vector<FileKey> file_keys, WithoutKey without_key) {
  auto keys = std::make_shared<FileKeys>();
  for (FileKey& key : file_keys) keys->emplace(key.hash, std::move(key.principal));
  const std::lock_guard lock(mutex_);
  file_keys_ = std::move(keys);
  without_key_ = without_key;
}

ApiResult<Principal> KeyRing::authenticate(std::string_view key) {
  if (key.empty()) {
    return without_key(
        refuse(Refusal::kMissingKey,
               "The request has no API key. Send it as 'Authorization: Bearer KEY'."));
  }
  // The hash of what was shown tells nothing about the keys that it is compared with.
  const std::shared_ptr<const FileKeys> file_keys = [&] {
    const std::lock_guard lock(mutex_);
    return file_keys_;
  }();
  const auto found = file_keys->find(api_key_hash(key));
  if (found != file_keys->end()) return found->second;
  return from_database(key);
}

ApiResult<Principal> KeyRing::without_key(ApiError refusal) {
  if (without_key_ == WithoutKey::kRefuse) return refusal;
  if (control_ != nullptr) {
    // Read each time, as keys are: the first one is made beside a server that runs. By one thread
    // at a time, so that it takes one connection to the database, and its descriptors, only.
    const std::lock_guard lock(reading_);
    const Result<bool> has_any = store::Keys(*control_).has_any();
    if (!has_any) return store_failed(has_any.error());
    if (*has_any) {
      if (without_key_.exchange(WithoutKey::kRefuse) == WithoutKey::kAnonymous) {
        log_info("a key was made: from now on requests need one");
      }
      return refusal;
    }
  }
  return anonymous_principal();
}

ApiResult<Principal> KeyRing::from_database(std::string_view key) {
  const std::string_view lookup = api_key_lookup(key);
  if (lookup.empty() || control_ == nullptr) {
    // Clients insist on a key and send "none" or another server's where there is nothing to show.
    return without_key(invalid_key());
  }
  const Result<std::optional<store::KeyRow>> row = store::Keys(*control_).find_by_lookup(lookup);
  if (!row) return store_failed(row.error());
  // An unknown key is compared as a known one is.
  const Sha256Digest expected = *row ? (*row)->hash : Sha256Digest{};
  const bool is_right = is_equal(api_key_hash(key), expected);
  if (!*row || !is_right) return invalid_key();
  ApiResult<Principal> principal = principal_of(**row, clock_.wall_seconds());
  if (principal) note_use((*row)->id, clock_.monotonic_seconds());
  return principal;
}

ApiResult<Principal> KeyRing::principal_of(const store::KeyRow& key, double wall_s) {
  if (key.revoked_s) return refuse(Refusal::kRevokedKey, "The API key was revoked.");
  if (key.expires_s && wall_s >= static_cast<double>(*key.expires_s)) {
    return refuse(
        Refusal::kExpiredKey,
        fmt::format("The API key expired at {}.", format_utc(static_cast<double>(*key.expires_s))));
  }
  const Result<ScopeSet> scopes = parse_scopes(key.scopes);
  if (!scopes) return store_failed(scopes.error());
  return Principal{PrincipalKind::kDatabase, key.id, key.tenant, key.name, *scopes, key.limits};
}

ApiResult<Principal> KeyRing::find(const std::string& key_id, const std::string& tenant) {
  std::optional<Principal> found;
  const Principal anonymous = anonymous_principal();
  if (without_key_ == WithoutKey::kAnonymous && key_id == anonymous.key_id) found = anonymous;
  const std::shared_ptr<const FileKeys> file_keys = [&] {
    const std::lock_guard lock(mutex_);
    return file_keys_;
  }();
  for (const auto& [hash, principal] : *file_keys) {
    if (principal.key_id == key_id) found = principal;
  }
  if (!found && control_ != nullptr) {
    const Result<std::optional<store::KeyRow>> row = store::Keys(*control_).find(key_id);
    if (!row) return store_failed(row.error());
    if (*row) {
      ApiResult<Principal> principal = principal_of(**row, clock_.wall_seconds());
      if (!principal) return principal.error();
      found = std::move(*principal);
    }
  }
  // One id may name another key than before: whose work it is, the tenant decides.
  if (!found || found->tenant != tenant) {
    return refuse(Refusal::kInvalidKey, "The API key of this work is not valid any more.");
  }
  return *std::move(found);
}

void KeyRing::note_use(const std::string& key_id, double now) {
  {
    const std::lock_guard lock(mutex_);
    const auto [noted, is_new] = noted_at_.try_emplace(key_id, now);
    if (!is_new && now - noted->second < kNoteSeconds) return;
    noted->second = now;
  }
  const auto wall_s = static_cast<std::int64_t>(clock_.wall_seconds());
  const Result<void> done = store::Keys(*control_).set_last_used(key_id, wall_s);
  // Not worth refusing a request for.
  if (!done) log_warning("the time of a key's use was not kept: " + done.error().text());
}

std::optional<ApiError> check_scope(const Principal& principal, Scope scope) {
  if (principal.scopes.has(scope)) return std::nullopt;
  return refuse(Refusal::kMissingScope,
                fmt::format("The API key '{}' lacks the scope '{}'; it has '{}'.", principal.name,
                            scope_name(scope), principal.scopes.text()));
}

}  // namespace paring::serve
