// SPDX-License-Identifier: Apache-2.0
// AnswerSharing: answers that several requests may have: from the cache of whole answers, together
// with an equal request that is being computed, or from a question that means the same.
// Thread-safe; works on the thread that writes answers.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>

#include "serve/answering.h"
#include "serve/cache/response_cache.h"
#include "serve/cache/semantic_cache.h"
#include "serve/http_answer.h"
#include "serve/model_use.h"
#include "serve/route.h"

namespace paring::serve {

// What a request wants of the cache of whole answers (RFC 9111, section 5.2.1).
struct CacheRule {
  bool reads = false;
  bool writes = false;
  bool is_used() const noexcept { return reads || writes; }
};

class AnswerSharing {
 public:
  // What a server does for it.
  struct Server {
    std::function<void(std::function<void()>)> post;  // to the thread that writes answers
    std::function<std::shared_ptr<Answering>(std::shared_ptr<ServedModel>, AnswerPlan,
                                             std::shared_ptr<AnswerReceiver>)>
        compute;
    // A place among the requests that are served, for work that nobody waits for; null: no room.
    std::function<std::shared_ptr<void>()> background_place;
  };
  AnswerSharing(const ResponseCacheOptions& options, Server server)
      : bytes_max_(options.bytes_max),
        options_(options),
        server_(std::move(server)),
        cache_(options) {}

  // Other bounds from now on. Thread-safe.
  void set_options(const ResponseCacheOptions& options);

  // Before requests come.
  void use(std::shared_ptr<SemanticCache> semantic) { semantic_ = std::move(semantic); }
  const std::shared_ptr<SemanticCache>& semantic() const noexcept { return semantic_; }

  CacheRule rule(const net::HttpHead& head, const AnswerPlan& plan) const;
  // Answers the call. REQUIRES: rule.is_used().
  void answer(const Call& call, const ModelUse& model, AnswerPlan plan,
              std::shared_ptr<HttpAnswer> receiver, const CacheRule& rule);

 private:
  // A request while it is looked for.
  struct Asked {
    Call call;
    ModelUse model;
    AnswerPlan plan;
    std::shared_ptr<HttpAnswer> receiver;
    CacheRule rule;
    std::string key;
  };
  using AskedPtr = std::shared_ptr<Asked>;

  std::shared_ptr<AskedQuestion> question_of(const Asked& asked) const;
  bool give_equal(const AskedPtr& asked);
  void give_like(const AskedPtr& asked, const SemanticCache::Found& found);
  void compute(const AskedPtr& asked, const SemanticCache::Found& found);
  void compute_again(const AskedPtr& asked, const SemanticCache::Found& found);
  void join(const AskedPtr& asked, const std::shared_ptr<SharedAnswer>& shared);

  std::atomic<std::size_t> bytes_max_;  // as of options_, for every thread
  ResponseCacheOptions options_;        // on the writing thread only
  Server server_;
  std::shared_ptr<SemanticCache> semantic_;
  ResponseCache cache_;         // on the writing thread only
  std::size_t background_ = 0;  // there too: answers that are computed again
};

}  // namespace paring::serve
