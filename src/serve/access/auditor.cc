// SPDX-License-Identifier: Apache-2.0
#include "serve/access/auditor.h"

#include <fmt/format.h>

#include <utility>

#include "base/log.h"
#include "base/redact.h"
#include "base/text.h"

namespace paring::serve {

namespace {

constexpr std::size_t kFieldBytesMax = 200;

std::string field(std::string_view text) {
  return escape_control(redact(text).substr(0, kFieldBytesMax));
}

}  // namespace

Result<void> Auditor::append(const AuditEntry& entry, std::int64_t left_out) {
  std::string detail = field(entry.detail);
  if (left_out > 0) detail += fmt::format(" ({} refusals before were left out)", left_out);
  return log_.append({0, static_cast<std::int64_t>(clock_.wall_seconds()), field(entry.actor),
                      field(entry.action), field(entry.object), field(entry.result),
                      std::move(detail)});
}

Result<void> Auditor::action(const AuditEntry& entry) { return append(entry, 0); }

bool Auditor::takes_refusal() {
  const std::lock_guard lock(mutex_);
  if (refusals_.take(1, clock_.monotonic_seconds())) return true;
  ++left_out_;
  return false;
}

void Auditor::refusal(const AuditEntry& entry) {
  std::int64_t left_out = 0;
  {
    const std::lock_guard lock(mutex_);
    left_out = std::exchange(left_out_, 0);
  }
  const Result<void> done = append(entry, left_out);
  if (!done) log_error("a refusal is not in the audit log: " + done.error().text());
}

}  // namespace paring::serve
