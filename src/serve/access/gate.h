// SPDX-License-Identifier: Apache-2.0
// Whether a request may start now: concurrent requests, requests and tokens a minute, and token
// budgets of its key. What it may use at most is set aside before it starts; what it used is
// settled when it ends, however it ends. Thread-safe.
//
//   ApiResult<Admission> admission = gate.admit(principal, {request_id, prompt_tokens,
//   max_tokens}); if (!admission) return admission.error();              // 429 with Retry-After
//   ... admission->note_generated(tokens) now and then, while it streams ...
//   admission->settle(prompt_tokens + generated_tokens);   // at its end, also when it broke off
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/clock.h"
#include "base/result.h"
#include "serve/access/principal.h"
#include "serve/api_error.h"
#include "store/control_db.h"
#include "store/ledger.h"

namespace paring::serve {

struct Work {
  std::string request_id;
  std::int64_t prompt_tokens = 0;
  std::int64_t answer_tokens_max = 0;  // of all answers together
};

// For the x-ratelimit-* headers; absent where there is no limit.
struct RateState {
  struct Figures {
    std::int64_t limit = 0;
    std::int64_t remaining = 0;
    double reset_seconds = 0;  // until all is there again
  };
  std::optional<Figures> requests;
  std::optional<Figures> tokens;
};

class Gate;
class KeyState;  // of gate.cc

// The right of one request to run. Movable. One thread at a time. When it goes without settle(),
// all that it has noted is charged.
class Admission {
 public:
  Admission(Admission&& other) noexcept;
  Admission& operator=(Admission&& other) noexcept;
  ~Admission();

  // So many tokens of answers are there. What is charged should the process be killed is raised
  // ahead of them; the caller calls again before kAheadTokens more are generated. On an error the
  // request should end: it could not be charged for more.
  Result<void> note_generated(std::int64_t tokens);
  // The request has ended; it used so many tokens, prompt and answers. Frees the rest.
  Result<void> settle(std::int64_t used_tokens);

  static constexpr std::int64_t kAheadTokens = 64;

 private:
  friend class Gate;
  Admission(Gate& gate, std::shared_ptr<KeyState> key, const Work& work);
  Result<void> end(std::int64_t used_tokens);

  Gate* gate_;  // null once it has ended
  std::shared_ptr<KeyState> key_;
  std::int64_t prompt_tokens_;
  std::int64_t reserved_tokens_;
  std::int64_t noted_tokens_;
  std::optional<std::int64_t> reservation_;  // of the ledger
  double started_at_;
};

class Gate {
 public:
  // `control` may be null: then there are no budgets. Both must outlive this and all admissions.
  explicit Gate(const store::ControlDb* control, const Clock& clock = system_clock())
      : control_(control), clock_(clock) {}

  // Charges what a dead process had reserved. Called once, before the first admit(). REQUIRES: this
  // process holds the ServingLock.
  Result<store::RecoveredReservations> recover();

  // 429 when there is no room now; `retry_after_seconds` says when there will be, and is absent
  // when waiting does not help. 503 when the database fails. What was refused counts nowhere.
  ApiResult<Admission> admit(const Principal& principal, const Work& work);
  // What admit() would say of the smallest request; nothing is taken. For refusing before a body is
  // read.
  std::optional<ApiError> refusal_now(const Principal& principal);
  RateState rate_state(const Principal& principal);

 private:
  friend class Admission;
  std::shared_ptr<KeyState> state_of(const Principal& principal);
  std::optional<ApiError> reserve(const Principal& principal, const Work& work,
                                  Admission& admission);
  std::int64_t wall_s() const noexcept;

  const store::ControlDb* control_;
  const Clock& clock_;
  std::mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<KeyState>> keys_;
};

}  // namespace paring::serve
