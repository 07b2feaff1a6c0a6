// SPDX-License-Identifier: Apache-2.0
// Writes the audit log for a server: administrative actions always, refusals as far as their number
// stays sane (a flood of wrong keys must not fill the disk: what is left out is counted in the next
// row). Fields are cut to 200 bytes and secrets taken out. Thread-safe.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "serve/access/token_bucket.h"
#include "store/audit.h"
#include "store/control_db.h"

namespace paring::serve {

struct AuditEntry {
  std::string_view actor;   // Principal::key_id, or the peer's address when there is none
  std::string_view action;  // "POST /v1/files", "model.load"
  std::string_view object;  // id of what was acted on; may be empty
  std::string_view result;  // "ok", or the code of an ApiError
  std::string_view detail;
};

class Auditor {
 public:
  // `control` must outlive this.
  explicit Auditor(const store::ControlDb& control, const Clock& clock = system_clock())
      : log_(control), clock_(clock), refusals_(kRefusalsPerMinute, clock.monotonic_seconds()) {}

  // Before the action's answer leaves. An action that cannot be written down should fail.
  Result<void> action(const AuditEntry& entry);
  // Whether one more refusal is to be written, by refusal(). Counts it either way.
  bool takes_refusal();
  // REQUIRES: takes_refusal() said so. Failures are logged: the request is refused all the same.
  void refusal(const AuditEntry& entry);

  static constexpr std::int64_t kRefusalsPerMinute = 60;

 private:
  Result<void> append(const AuditEntry& entry, std::int64_t left_out);

  store::AuditLog log_;
  const Clock& clock_;
  std::mutex mutex_;
  TokenBucket refusals_;
  std::int64_t left_out_ = 0;
};

}  // namespace paring::serve
