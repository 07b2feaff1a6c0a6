// SPDX-License-Identifier: Apache-2.0
#include "serve/traffic_row.h"

#include <algorithm>

#include "base/redact.h"
#include "serve/captured_content.h"
#include "store/token_gaps.h"

namespace paring::serve {

namespace {

std::int64_t whole(std::size_t count) { return static_cast<std::int64_t>(count); }

store::TrafficTokens tokens_of(const AnswerUsage& usage, bool is_given_again) {
  const std::size_t cached = is_given_again ? usage.prompt_tokens : usage.cached_tokens;
  return {.prompt_fresh = whole(usage.prompt_tokens - std::min(cached, usage.prompt_tokens)),
          .prompt_cached = whole(std::min(cached, usage.prompt_tokens)),
          .answer_visible = whole(usage.completion_tokens -
                                  std::min(usage.reasoning_tokens, usage.completion_tokens)),
          .answer_reasoning = whole(std::min(usage.reasoning_tokens, usage.completion_tokens)),
          .drafted = is_given_again ? 0 : whole(usage.drafted_tokens),
          .accepted = is_given_again ? 0 : whole(usage.accepted_tokens)};
}

}  // namespace

bool has_row(const RequestFacts& facts) { return facts.is_work; }

double work_seconds(const RequestFacts& facts) noexcept {
  if (!facts.usage || facts.is_given_again) return 0;
  return facts.usage->prefill_work.seconds + facts.usage->decode_work.seconds;
}

store::TrafficRequest traffic_row(const RequestFacts& facts) {
  constexpr int kFirstError = 400;
  store::TrafficRequest row;
  // What a client chose may be a key in the wrong place.
  row.id = redact(facts.id);
  row.trace_id = facts.trace.trace_id;
  row.span_id = facts.trace.span_id;
  row.parent_id = facts.trace.parent_id;
  row.started_s = facts.started_s;
  row.route = facts.route == nullptr ? "" : facts.route;
  row.status = facts.end.status;
  row.is_complete = facts.end.is_complete;
  row.error_code = facts.error_code;
  const bool has_failed = !facts.error_code.empty() || facts.end.status >= kFirstError;
  row.end = has_failed ? "error" : facts.ending;
  row.key_id = facts.key_id;
  row.tenant = facts.tenant;
  row.user = redact(facts.user);
  row.prompt_version = redact(facts.prompt_version);
  row.marks = facts.marks;
  row.model = facts.model;
  row.variant = facts.variant;
  row.cache = facts.cache;
  row.seconds.total = facts.seconds;
  row.seconds.first_token = facts.first_token_seconds;
  if (!facts.usage) return row;
  if (facts.content != nullptr) row.content = facts.content->take();
  const AnswerUsage& usage = *facts.usage;
  row.tokens = tokens_of(usage, facts.is_given_again);
  if (facts.is_given_again) return row;
  row.seconds.queue = usage.queue_seconds;
  row.seconds.prefill = usage.prefill_seconds;
  row.seconds.decode = usage.decode_seconds;
  row.seconds.prefill_work = usage.prefill_work.seconds;
  row.seconds.decode_work = usage.decode_work.seconds;
  row.operations = usage.prefill_work.operations + usage.decode_work.operations;
  row.bytes_read = usage.prefill_work.bytes + usage.decode_work.bytes;
  row.preemptions = whole(usage.preemptions);
  row.peak_pages = whole(usage.peak_pages);
  row.gaps = store::encode_gaps(usage.gap_microseconds);
  return row;
}

}  // namespace paring::serve
