// SPDX-License-Identifier: Apache-2.0
#include "serve/judging.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "serve/server.h"
#include "text/chat_request.h"

namespace paring::serve {

namespace {

constexpr const char* kTask =
    "Judge whether the document answers the query. The answer is \"yes\" or \"no\", nothing else.";

using Write = std::function<std::string(std::span<const double>, const AnswerUsage&)>;

// The documents of one request. Confined to the engine's thread once started.
class Judging : public std::enable_shared_from_this<Judging> {
 public:
  Judging(Server& server, Call call, std::shared_ptr<ServedModel> model,
          std::vector<engine::SequenceRequest> requests, std::shared_ptr<Ticket> ticket,
          Write write)
      : server_(server),
        call_(std::move(call)),
        model_(std::move(model)),
        requests_(std::move(requests)),
        ticket_(std::move(ticket)),
        write_(std::move(write)),
        scores_(requests_.size()) {}

  void cancel() { cancelled_->store(true); }

  void start() {
    started_s_ = system_clock().monotonic_seconds();
    usage_.queue_seconds = std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < requests_.size(); ++i) {
      requests_[i].cancelled = cancelled_;
      usage_.prompt_tokens += requests_[i].prompt.size();
      judges_.push_back(std::make_unique<Judge>(shared_from_this(), i));
      ++open_;
      const auto submitted = model_->engine().submit(requests_[i], *judges_.back());
      if (!submitted) {
        error_ = submitted.error();
        cancel();
        end();
        judges_.pop_back();
        return;
      }
    }
  }

 private:
  class Judge : public engine::SequenceListener {
   public:
    Judge(std::shared_ptr<Judging> all, std::size_t index) : all_(std::move(all)), index_(index) {}
    bool on_token(std::size_t, std::int32_t) override { return false; }
    void on_logprobs(std::size_t, const api::TokenLogprobs& logprobs) override {
      // exp(yes) / (exp(yes) + exp(no))
      const double difference = logprobs.top[1].logprob - logprobs.top[0].logprob;
      all_->scores_[index_] = 1 / (1 + std::exp(difference));
    }
    void on_end(std::size_t, const engine::SequenceResult& result) override {
      AnswerUsage& usage = all_->usage_;
      usage.cached_tokens += result.usage.cached_tokens;
      // Until the first document's turn; from then on some of them are computed.
      usage.queue_seconds = std::min(usage.queue_seconds, result.queue_seconds);
      usage.preemptions += result.preemptions;
      usage.peak_pages += result.usage.peak_pages;
      usage.prefill_work += result.usage.prefill_work;
      usage.decode_work += result.usage.decode_work;
      if (result.end == engine::SequenceEnd::kFailed && !all_->error_) all_->error_ = result.error;
      const std::shared_ptr<Judging> all = std::move(all_);  // which may be the last to go
      all->end();
    }

   private:
    std::shared_ptr<Judging> all_;
    std::size_t index_;
  };

  void end() {
    if (--open_ > 0) return;
    const double seconds = system_clock().monotonic_seconds() - started_s_;
    usage_.queue_seconds = std::min(usage_.queue_seconds, seconds);
    usage_.prefill_seconds = seconds - usage_.queue_seconds;
    server_.finisher().post([self = shared_from_this()] { self->finish(); });
  }

  void finish() {
    ticket_->settle(usage_);
    if (error_) return server_.refuse(call_, api_error(*error_));
    server_.respond(call_, 200, "application/json", write_(scores_, usage_));
  }

  Server& server_;
  Call call_;
  std::shared_ptr<ServedModel> model_;
  std::vector<engine::SequenceRequest> requests_;
  std::shared_ptr<Ticket> ticket_;
  Write write_;
  std::vector<double> scores_;
  std::vector<std::unique_ptr<Judge>> judges_;
  std::shared_ptr<std::atomic<bool>> cancelled_ = std::make_shared<std::atomic<bool>>(false);
  std::size_t open_ = 0;
  double started_s_ = 0;  // monotonic
  std::optional<Error> error_;
  AnswerUsage usage_;
};

// The one token that a word begins with.
Result<std::int32_t> first_token(const ServedModel& model, const char* word) {
  PARING_TRY(const std::vector<std::int32_t> ids, model.tokenizer().encode(word, {}));
  if (ids.empty()) return unsupported(fmt::format("the vocabulary cannot spell '{}'", word));
  return ids.front();
}

}  // namespace

void judge(Server& server, const Call& call, const ModelUse& model, const std::string& query,
           const std::vector<std::string>& documents,
           const std::function<std::string(std::span<const double>, const AnswerUsage&)>& write) {
  if (documents.size() > kJudgedDocumentsMax) {
    return server.refuse(
        call,
        bad_request("documents", fmt::format("{} documents, a model that writes text takes {}",
                                             documents.size(), kJudgedDocumentsMax)));
  }
  const Result<std::int32_t> yes = first_token(*model, "yes");
  const Result<std::int32_t> no = first_token(*model, "no");
  if (!yes || !no || *yes == *no) {
    return server.refuse(call, bad_request("model", "its vocabulary does not tell yes from no"));
  }
  std::vector<engine::SequenceRequest> requests;
  std::size_t tokens = 0;
  for (std::size_t i = 0; i < documents.size(); ++i) {
    const text::ChatMessage messages[] = {
        {"system", kTask},
        {"user", fmt::format("Query: {}\n\nDocument: {}\n\nDoes the document answer the query?",
                             query, documents[i])}};
    auto prompt = model->encode_chat(text::chat_of(messages));
    const std::string param = fmt::format("documents[{}]", i);
    if (!prompt) return server.refuse(call, api_error(prompt.error(), param));
    if (prompt->size() + 1 >= model->context_tokens()) {
      return server.refuse(
          call, bad_request(param, fmt::format("{} tokens with the question, the context "
                                               "has room for {}",
                                               prompt->size(), model->context_tokens())));
    }
    engine::SequenceRequest request;
    request.id = i;
    request.prompt = std::move(*prompt);
    request.max_tokens = 1;
    request.told_tokens = {*yes, *no};
    request.adapter = model.lora();
    tokens += request.prompt.size();
    server.label(call, request);
    requests.push_back(std::move(request));
  }
  auto ticket = server.admit(call, *model, tokens, documents.size());
  if (!ticket) return server.refuse(call, ticket.error());
  const auto judging = std::make_shared<Judging>(server, call, model.model, std::move(requests),
                                                 std::move(*ticket), write);
  call.exchange->on_gone([judging] { judging->cancel(); });
  call.exchange->release_body();
  server.loop().post([judging] { judging->start(); });
}

}  // namespace paring::serve
