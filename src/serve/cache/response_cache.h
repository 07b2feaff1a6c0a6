// SPDX-License-Identifier: Apache-2.0
// ResponseCache: answers that were given before, and those that are being given now, by everything
// that decides their text: what computes it (the variant), whose they are (the tenant), the
// prompt's tokens and every setting. Equal requests at the same time are computed once (single
// flight). Bounded in bytes and age; the least recently used go first. Confined to the thread that
// delivers answers.
#pragma once

#include <cstddef>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>

#include "base/clock.h"
#include "serve/answering.h"
#include "serve/cache/shared_answer.h"

namespace paring::serve {

// SHA-256 over all that the answer's text depends on.
std::string response_key(const std::string& variant, const std::string& tenant,
                         const AnswerPlan& plan);

// What the first is made of but the variant and the prompts: bytes.
std::string response_settings(const std::string& tenant, const AnswerPlan& plan);

// The same over all but the words of plan.question: answers to questions of one group may be given
// for each other when they mean the same. REQUIRES: plan.question.
std::string question_group(const std::string& variant, const std::string& tenant,
                           const AnswerPlan& plan);

struct ResponseCacheOptions {
  std::size_t bytes_max = std::size_t{64} << 20;        // 0: no cache
  std::size_t answer_bytes_max = std::size_t{1} << 20;  // larger answers are not kept
  double seconds_max = 3600;                            // since an answer was computed

  bool operator==(const ResponseCacheOptions&) const = default;
};

class ResponseCache {
 public:
  explicit ResponseCache(const ResponseCacheOptions& options, const Clock& clock = system_clock())
      : options_(options), clock_(clock) {}

  enum class Found : std::uint8_t { kNothing, kKept, kInFlight };
  struct Hit {
    Found found = Found::kNothing;
    std::shared_ptr<SharedAnswer> answer;  // joinable
    double age_seconds = 0;
  };
  Hit find(const std::string& key);
  // An answer that begins now: others may join it, and it is kept when it ends well.
  void begin(const std::string& key, const std::shared_ptr<SharedAnswer>& answer);
  // It has ended or was given up. Nothing happens when it never began here.
  void end(const std::string& key, const SharedAnswer& answer);
  void clear();
  // Other bounds from now on; what is beyond them goes.
  void set_options(const ResponseCacheOptions& options);

  std::size_t bytes() const noexcept { return bytes_; }
  std::size_t size() const noexcept { return kept_.size(); }
  const ResponseCacheOptions& options() const noexcept { return options_; }

 private:
  struct Entry {
    std::string key;
    std::shared_ptr<SharedAnswer> answer;
    double computed_at = 0;
  };
  using Entries = std::list<Entry>;  // the most recently used first
  void drop(Entries::iterator entry);

  ResponseCacheOptions options_;
  const Clock& clock_;
  Entries entries_;
  std::unordered_map<std::string, Entries::iterator> kept_;
  std::unordered_map<std::string, std::shared_ptr<SharedAnswer>> in_flight_;
  std::size_t bytes_ = 0;
};

}  // namespace paring::serve
