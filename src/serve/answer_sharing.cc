// SPDX-License-Identifier: Apache-2.0
#include "serve/answer_sharing.h"

#include <fmt/format.h>

#include <utility>

#include "base/metrics.h"

namespace paring::serve {

namespace {

// Answers that are computed again at a time; more hits are not looked into meanwhile.
constexpr std::size_t kBackgroundMax = 4;
constexpr int kBatchPriority = -1;

}  // namespace

void AnswerSharing::set_options(const ResponseCacheOptions& options) {
  bytes_max_ = options.bytes_max;
  server_.post([this, options] {
    options_ = options;
    cache_.set_options(options);
  });
}

CacheRule AnswerSharing::rule(const net::HttpHead& head, const AnswerPlan& plan) const {
  if (bytes_max_ == 0 || !plan.uses_cache.value_or(plan.is_reproducible)) return {};
  const std::string* control = head.find("cache-control");
  const auto says = [&](const char* word) {
    return control != nullptr && control->find(word) != std::string::npos;
  };
  return {.reads = !says("no-cache") && !says("no-store"), .writes = !says("no-store")};
}

void AnswerSharing::answer(const Call& call, const ModelUse& model, AnswerPlan plan,
                           std::shared_ptr<HttpAnswer> receiver, const CacheRule& rule) {
  const auto asked =
      std::make_shared<Asked>(Asked{call, model, std::move(plan), std::move(receiver), rule, ""});
  asked->key = response_key(asked->model.variant(), call.principal.tenant, asked->plan);
  const std::shared_ptr<AskedQuestion> question = question_of(*asked);
  server_.post([this, asked, question] {
    if (give_equal(asked)) return;
    if (question == nullptr) return compute(asked, {});
    semantic_->find(question, [this, asked](SemanticCache::Found found) {
      server_.post([this, asked, found = std::move(found)] {
        // An equal request may have come while the question was read.
        if (give_equal(asked)) return;
        if (!found.hit || !found.is_given) return compute(asked, found);
        give_like(asked, found);
      });
    });
  });
}

// Null: nothing but an equal request's answer will do.
std::shared_ptr<AskedQuestion> AnswerSharing::question_of(const Asked& asked) const {
  if (semantic_ == nullptr || !asked.plan.question || !asked.rule.reads) return nullptr;
  auto question = std::make_shared<AskedQuestion>();
  if (!semantic_->read(asked.plan.question->text, *question)) return nullptr;
  question->key = asked.key;
  question->tenant = asked.call.principal.tenant;
  question->variant = asked.model.variant();
  question->model = asked.model.name();
  question->group = question_group(question->variant, question->tenant, asked.plan);
  return question;
}

bool AnswerSharing::give_equal(const AskedPtr& asked) {
  if (!asked->rule.reads) return false;
  const ResponseCache::Hit hit = cache_.find(asked->key);
  if (hit.found == ResponseCache::Found::kNothing) return false;
  metrics().response_cache_hits.add();
  asked->receiver->set_free(hit.found == ResponseCache::Found::kInFlight
                                ? store::TrafficCache::kJoined
                                : store::TrafficCache::kExact);
  asked->receiver->set_header(
      {"x-paring-cache", hit.found == ResponseCache::Found::kInFlight
                             ? std::string("exact; joined")
                             : fmt::format("exact; age={:.0f}", hit.age_seconds)});
  join(asked, hit.answer);
  return true;
}

void AnswerSharing::give_like(const AskedPtr& asked, const SemanticCache::Found& found) {
  metrics().semantic_cache_hits.add();
  asked->receiver->set_free(store::TrafficCache::kSemantic);
  asked->receiver->set_header(
      {"x-paring-cache", fmt::format("semantic; similarity={:.3f}; age={:.0f}",
                                     found.hit->similarity, found.hit->age_seconds)});
  join(asked, found.hit->answer);
  if (found.is_sampled) compute_again(asked, found);
}

void AnswerSharing::compute(const AskedPtr& asked, const SemanticCache::Found& found) {
  asked->receiver->set_header({"x-paring-cache", "miss"});
  const auto cancel = std::make_shared<std::weak_ptr<Answering>>();
  const auto shared = std::make_shared<SharedAnswer>(
      options_.answer_bytes_max,
      [this, key = asked->key, writes = asked->rule.writes, found](SharedAnswer& ended) {
        cache_.end(key, ended);
        if (!ended.is_reusable() || found.question == nullptr) return;
        if (found.hit) {
          semantic_->check(*found.question, *found.hit, found.hit->answer->text(), ended.text());
        }
        if (writes && !found.question->vector.empty()) {
          semantic_->keep(*found.question, ended.shared_from_this());
        }
      },
      [cancel] {
        if (const auto answering = cancel->lock()) answering->cancel();
      });
  if (asked->rule.writes) cache_.begin(asked->key, shared);
  *cancel = server_.compute(asked->model.model, std::move(asked->plan), shared);
  join(asked, shared);
}

// What was given is computed as well, when the engine has nothing better to do, and compared.
void AnswerSharing::compute_again(const AskedPtr& asked, const SemanticCache::Found& found) {
  if (background_ >= kBackgroundMax) return;
  std::shared_ptr<void> place = server_.background_place();
  if (place == nullptr) return;
  ++background_;
  AnswerPlan plan = std::move(asked->plan);
  for (engine::SequenceRequest& sequence : plan.sequences) {
    sequence.priority = kBatchPriority;
    sequence.deadline = engine::SequenceRequest().deadline;
  }
  const auto shared = std::make_shared<SharedAnswer>(
      options_.answer_bytes_max,
      [this, found, place = std::move(place)](SharedAnswer& ended) {
        --background_;
        if (!ended.is_reusable()) return;
        semantic_->check(*found.question, *found.hit, found.hit->answer->text(), ended.text());
      },
      [] {});
  server_.compute(asked->model.model, std::move(plan), shared);
}

void AnswerSharing::join(const AskedPtr& asked, const std::shared_ptr<SharedAnswer>& shared) {
  shared->join(asked->receiver);
  // Weak: the exchange and its receiver hold each other otherwise.
  asked->call.exchange->on_gone([this, shared, gone = std::weak_ptr<HttpAnswer>(asked->receiver)] {
    server_.post([shared, gone] {
      if (const auto left = gone.lock()) shared->leave(*left);
    });
  });
}

}  // namespace paring::serve
