// SPDX-License-Identifier: Apache-2.0
#include "serve/server.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/redact.h"
#include "base/text.h"
#include "serve/access/browser_guard.h"
#include "serve/access/loopback.h"
#include "serve/access/refusal.h"
#include "serve/http_answer.h"
#include "serve/prompt_marks.h"
#include "store/keys.h"
#include "text/chat_template.h"

namespace paring::serve {

namespace {

// A step may take this long; then answers have ended.
constexpr double kAbandonSeconds = 10;

// Whether requests need a key, since there are some. InvalidArgument where there must be.
Result<bool> requires_key(const std::vector<FileKey>& keys, const store::ControlDb* control,
                          const std::string& address) {
  bool has_keys = !keys.empty();
  // Revoked ones as well: who revokes the last key does not mean to let everybody in.
  if (!has_keys && control != nullptr) {
    PARING_TRY(has_keys, store::Keys(*control).has_any());
  }
  if (has_keys || is_loopback(address)) return has_keys;
  return invalid_argument(
      fmt::format("the address {} can be reached by others, and there is no key", address),
      "make one with 'paring keys create', set PARING_API_KEY, or listen on 127.0.0.1");
}

}  // namespace

bool Ticket::note(std::size_t tokens) {
  if (tokens > 0) record_->note_token();
  const Result<void> noted = admission_.note_generated(static_cast<std::int64_t>(tokens));
  if (!noted) log_error(noted.error().text());
  return noted.has_value();
}

void Ticket::settle(const AnswerUsage& usage) {
  record_->set_usage(usage, /*is_given_again=*/false);
  if (on_usage_) on_usage_(usage);
  charge(static_cast<std::int64_t>(usage.prompt_tokens + usage.completion_tokens));
}

void Ticket::settle_free(const AnswerUsage& usage) {
  record_->set_usage(usage, /*is_given_again=*/true);
  charge(0);
}

void Ticket::note_ending(const AnswerEnding& ending) {
  if (!ending.error) record_->set_ending(ending.end);
}

void Ticket::charge(std::int64_t tokens) {
  const Result<void> settled = admission_.settle(tokens);
  if (!settled) log_error(settled.error().text());
}

Server::Server(const ServerOptions& options, std::optional<store::ControlDb> control,
               bool needs_key, Executor& executor)
    : control_(std::move(control)),
      probes_(options.probes),
      machine_({}),
      energy_(
          {.busy_seconds =
               [] { return metrics().step_seconds.sum() + metrics().quality_step_seconds.sum(); },
           .model = options.watts,
           .root = "",
           .machine = &machine_}),
      keys_(control_ ? &*control_ : nullptr, options.keys,
            needs_key ? KeyRing::WithoutKey::kRefuse : KeyRing::WithoutKey::kAnonymous),
      gate_(control_ ? &*control_ : nullptr),
      records_(options.access_log),
      masks_(std::make_unique<MaskPool>()),
      sharing_(options.cache,
               {.post = [this](std::function<void()> task) { http_->post(std::move(task)); },
                .compute =
                    [this](std::shared_ptr<ServedModel> model, AnswerPlan plan,
                           std::shared_ptr<AnswerReceiver> receiver) {
                      return compute(std::move(model), std::move(plan), std::move(receiver));
                    },
                .background_place = [this] { return background_place(); }}),
      loop_(std::make_unique<EngineLoop>(
          [this](std::function<void()> task) { http_->post(std::move(task)); })),
      registry_(std::make_unique<ModelRegistry>(*loop_, executor, options.models)),
      executor_(executor) {
  if (control_) auditor_.emplace(*control_);
  all_options_.push_back(std::make_unique<const ServerOptions>(options));
  options_ = all_options_.back().get();
}

Result<std::unique_ptr<Server>> Server::start(const ServerOptions& options, Executor& executor) {
  std::optional<store::ControlDb> control;
  std::optional<store::ServingLock> lock;
  std::unique_ptr<monitor::Traffic> traffic;
  if (!options.data_folder.empty()) {
    PARING_TRY(store::ControlDb opened, store::ControlDb::open({.folder = options.data_folder}));
    PARING_TRY(lock, store::ServingLock::take(options.data_folder));
    control.emplace(std::move(opened));
    if (options.traffic) {
      monitor::TrafficWriter::Options writer{.mode = options.traffic->mode};
      if (const auto filter = options.traffic->content) {
        writer.prepare = [filter](store::TrafficContent& content) {
          return filter->apply(content);
        };
      }
      PARING_TRY(traffic, monitor::Traffic::open({.data = options.data_folder,
                                                  .writer = writer,
                                                  .retention = options.traffic->retention}));
    }
  }
  PARING_TRY(const bool needs_key,
             requires_key(options.keys, control ? &*control : nullptr, options.http.address));
  std::unique_ptr<Server> server(new Server(options, std::move(control), needs_key, executor));
  PARING_TRY_VOID(server->keep_rows(std::move(traffic)));
  server->lock_ = std::move(lock);
  if (server->control_) {
    PARING_TRY(const store::RecoveredReservations recovered, server->gate_.recover());
    static_cast<void>(recovered);
    PARING_TRY_VOID(server->begin_canaries());
    PARING_TRY(server->batches_,
               BatchService::open(*server->control_, *server, server->keys_, options.batches));
  }
  net::HttpServerOptions http = options.http;
  http.worker_stack_bytes = text::kRenderStackBytes;
  PARING_TRY(server->http_, net::HttpServer::start(http, *server));
  if (server->batches_) server->batches_->start();
  return server;
}

Result<void> Server::apply(const ServerOptions& changed) {
  PARING_TRY(const bool needs_key,
             requires_key(changed.keys, control_ ? &*control_ : nullptr, options().http.address));
  auto next = std::make_unique<ServerOptions>(options());
  next->limits = changed.limits;
  next->requests_max = changed.requests_max;
  next->cache = changed.cache;
  next->drain_seconds = changed.drain_seconds;
  next->stall_seconds = changed.stall_seconds;
  next->cors_origins = changed.cors_origins;
  next->keys = changed.keys;
  next->models = changed.models;
  next->is_strict = changed.is_strict;
  next->prices = changed.prices;
  if (traffic_ != nullptr && changed.traffic) {
    next->traffic->retention = changed.traffic->retention;
    traffic_->set_retention(changed.traffic->retention);
  }
  keys_.replace(changed.keys,
                needs_key ? KeyRing::WithoutKey::kRefuse : KeyRing::WithoutKey::kAnonymous);
  registry_->set_options(changed.models);
  sharing_.set_options(changed.cache);
  const std::lock_guard lock(options_mutex_);
  // Who reads the old ones goes on doing so: they stay.
  all_options_.push_back(std::move(next));
  options_ = all_options_.back().get();
  return {};
}

Server::~Server() {
  if (batches_ != nullptr) batches_->stop(0);  // its lines are answered by way of http_
  if (http_ != nullptr) http_->stop(0);        // no new requests, and those that run are cancelled
  abandon_answers();
  if (canaries_ != nullptr) canaries_->stop_all();
  engine_hours_.reset();  // looks at what the registry has, and writes
  finisher_.finish();     // what is to be audited is written
  batches_.reset();
  registry_.reset();
  loop_.reset();
}

// Ends what runs with an error, and waits until the engine has let go of it.
void Server::abandon_answers() {
  {
    const std::lock_guard lock(answers_mutex_);
    for (Answering* answering : answers_) answering->abandon();
  }
  const double end = system_clock().monotonic_seconds() + kAbandonSeconds;
  while (open_answers_ > 0 && system_clock().monotonic_seconds() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

std::string Server::unready_reason() const {
  if (is_draining_) return "the server is shutting down";
  if (!is_ready_) return "the model is being loaded";
  if (!is_alive()) return "the engine does not step";
  if (open_answers_ >= options().requests_max)
    return "as many requests as allowed are being served";
  return {};
}

std::size_t Server::drain(const std::function<bool()>& is_impatient) {
  is_draining_ = true;
  http_->stop_accepting();
  if (batches_ != nullptr) batches_->stop(0);
  const double end = system_clock().monotonic_seconds() + options().drain_seconds;
  while (http_->active_requests() > 0 && system_clock().monotonic_seconds() < end &&
         !is_impatient()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  const std::size_t cut = http_->active_requests();
  registry_->stop();
  abandon_answers();
  http_->stop(kAbandonSeconds);
  return cut;
}

// Messages and names of fields are what a client sent, which may be a key in the wrong place.
net::HttpResponse Server::error_response(const Call& call, const ApiError& error) {
  call.record->set_error(error.code);
  ApiError shown = error;
  shown.message = redact(shown.message);
  shown.param = redact(shown.param);
  net::HttpResponse response{.status = error.status,
                             .content_type = "application/json",
                             .headers = answer_headers(call),
                             .body = wire::error_body(call.protocol, shown)};
  if (error.retry_after_seconds) {
    response.headers.push_back(
        {"retry-after", std::to_string(retry_after_header(*error.retry_after_seconds))});
  }
  return response;
}

const store::ControlDb* Server::control(const Call& call) {
  if (control_) return &*control_;
  refuse(call,
         {.status = 501,
          .code = "not_supported",
          .message = "this server keeps no files and no feedback, since it has no data folder",
          .param = ""});
  return nullptr;
}

BatchService* Server::batches(const Call& call) {
  return control(call) == nullptr ? nullptr : batches_.get();
}

std::size_t Server::batch_lines_now() const {
  if (!unready_reason().empty()) return 0;
  const std::size_t open = open_answers_;
  const std::size_t lines = batches_->running();
  return lines_beside(open > lines ? open - lines : 0, options().batches.lines_max);
}

void Server::respond(const Call& call, int status, std::string content_type, std::string body) {
  respond(call, {.status = status,
                 .content_type = std::move(content_type),
                 .headers = {},
                 .body = std::move(body)});
}

void Server::respond(const Call& call, net::HttpResponse response) {
  std::vector<net::HttpHeader> headers = answer_headers(call);
  std::move(headers.begin(), headers.end(), std::back_inserter(response.headers));
  send(call, std::move(response));
}

void Server::refuse(const Call& call, const ApiError& error) {
  send(call, error_response(call, error));
}

void Server::send(const Call& call, net::HttpResponse response) {
  const int status = response.status;
  keep_first(*call.record, status,
             [exchange = call.exchange, response = std::move(response)]() mutable {
               exchange->respond(std::move(response));
             });
}

// Before any work: whether there is room for one more.
std::optional<ApiError> Server::overload(const ServedModel& model,
                                         std::size_t prompt_tokens) const {
  const EngineLoad load = model.load();
  std::string message;
  if (is_draining_) {
    message = "the server is shutting down";
  } else if (open_answers_ >= options().requests_max) {
    message = fmt::format("{} requests are being served or wait, that is the limit",
                          options().requests_max);
  } else if (load.waiting_tokens + prompt_tokens > options().queued_tokens_max) {
    message = fmt::format("prompts of {} tokens wait, the limit is {}", load.waiting_tokens,
                          options().queued_tokens_max);
  } else {
    return std::nullopt;
  }
  return ApiError{.status = 503,
                  .code = "server_is_overloaded",
                  .message = message + "; try again later",
                  .param = "",
                  .retry_after_seconds = 1};
}

ApiResult<std::shared_ptr<Ticket>> Server::admit(const Call& call, const ServedModel& model,
                                                 std::size_t prompt_tokens,
                                                 std::size_t answer_tokens) {
  if (auto error = overload(model, prompt_tokens)) {
    metrics().rejections.add();
    return *error;
  }
  ApiResult<Admission> admission =
      gate_.admit(call.principal, {.request_id = call.id,
                                   .prompt_tokens = static_cast<std::int64_t>(prompt_tokens),
                                   .answer_tokens_max = static_cast<std::int64_t>(answer_tokens)});
  if (!admission) {
    metrics().rejections.add();
    // A line of a batch comes again by itself, and often.
    if (call.priority >= 0) {
      audit_refusal(call.exchange->head(), *call.record, call.principal.key_id, admission.error());
    }
    return admission.error();
  }
  ++open_answers_;
  call.record->set_model(model.name(), model.variant());
  return std::make_shared<Ticket>(open_answers_, std::move(*admission), call.record, call.on_usage);
}

void Server::with_model(const Call& call, const std::string& name, double deadline,
                        WithModel then) {
  // Lines of batches wait for nobody: what they take says little.
  if (canaries_ != nullptr && call.record->is_work() && call.priority >= 0) {
    const std::string& user = call.record->user();
    TrialPlace place;
    const auto use = canaries_->choose(name, user.empty() ? call.id : user, place);
    call.record->set_trial(place);
    if (use) return then(*use);
  }
  if (const auto use = registry_->find_ready(name)) return then(*use);
  const auto cancelled = std::make_shared<std::atomic<bool>>(false);
  call.exchange->on_gone([cancelled] { cancelled->store(true); });
  call.exchange->release_body();
  registry_->acquire({.name = name, .deadline = deadline, .cancelled = cancelled},
                     [this, call, then = std::move(then)](const ApiResult<ModelUse>& use) {
                       if (!use) return refuse(call, use.error());
                       then(*use);
                     });
}

AnswerLabel Server::label(const Call& call, const ModelUse& model, const std::string& asked) {
  return {.id = call.id,
          .model = asked.empty() ? model.name() : asked,
          .variant = model.variant(),
          .created = static_cast<std::int64_t>(system_clock().wall_seconds())};
}

void Server::label(const Call& call, engine::SequenceRequest& sequence) {
  sequence.tenant = std::hash<std::string>()(call.principal.key_id);
  sequence.weight = static_cast<double>(call.principal.limits.weight);
  sequence.priority = std::min(sequence.priority, call.priority);
  sequence.prefix_scope = std::hash<std::string>()(call.principal.tenant);
}

void Server::answer(const Call& call, const ModelUse& model, AnswerPlan plan,
                    std::unique_ptr<AnswerWriter> writer, bool streams) {
  std::size_t prompt_tokens = 0;
  std::size_t answer_tokens = 0;
  for (engine::SequenceRequest& sequence : plan.sequences) {
    prompt_tokens += sequence.prompt.size();
    answer_tokens += sequence.max_tokens * sequence.samples;
    label(call, sequence);
  }
  auto ticket = admit(call, *model, prompt_tokens, answer_tokens);
  if (!ticket) return refuse(call, ticket.error());
  call.record->set_model(model.name(), model.variant());  // an adapter has a name of its own
  std::vector<net::HttpHeader> headers = answer_headers(call);
  headers.push_back({"x-paring-variant", model.variant()});
  const std::size_t choices = plan.choices();
  // The receiver tells the answering that it failed, the answering tells the receiver what it has.
  const auto cancel = std::make_shared<std::weak_ptr<Answering>>();
  const auto receiver = std::make_shared<HttpAnswer>(
      call.exchange, std::move(writer), choices, streams, std::move(headers), std::move(*ticket),
      [this, call](const ApiError& error) { return error_response(call, error); },
      [cancel] {
        if (const auto answering = cancel->lock()) answering->cancel();
      },
      [this, record = call.record](std::function<void()> send) {
        keep_first(*record, 200, std::move(send));
      });
  receiver->set_content(call.record->content());
  if (marks_key_) {
    call.record->set_marks(marks_of(*marks_key_, call.principal.tenant, plan));
  }
  call.exchange->release_body();
  for (const auto& watch : quality_watches_) {
    if (plan.on_answer) break;
    plan.on_answer =
        watch->sample(model, plan, call.id, call.principal.tenant, call.principal.key_id);
  }
  const CacheRule rule = cache_rule(call, plan);
  if (rule.is_used()) {
    return sharing_.answer(call, model, std::move(plan), receiver, rule);
  }
  const auto answering = compute(model.model, std::move(plan), receiver);
  *cancel = answering;
  call.exchange->on_gone([answering] { answering->cancel(); });
}

std::shared_ptr<Answering> Server::compute(std::shared_ptr<ServedModel> model, AnswerPlan plan,
                                           std::shared_ptr<AnswerReceiver> receiver) {
  const auto answering = std::make_shared<Answering>(std::move(model), std::move(plan),
                                                     std::move(receiver), [this](Answering& ended) {
                                                       const std::lock_guard lock(answers_mutex_);
                                                       answers_.erase(&ended);
                                                     });
  {
    const std::lock_guard lock(answers_mutex_);
    answers_.insert(answering.get());
  }
  loop_->post([this, answering] { answering->start(loop_->delivery()); });
  return answering;
}

Result<void> Server::use_semantic_cache(std::shared_ptr<ServedModel> encoder,
                                        const SemanticCacheOptions& options) {
  if (this->options().cache.bytes_max == 0) {
    return invalid_argument(
        "the semantic cache gives answers of the cache of answers, which is off",
        "give --cache-bytes more than 0");
  }
  PARING_TRY(std::shared_ptr<SemanticCache> cache,
             SemanticCache::create(options, std::move(encoder), *loop_, finisher_));
  sharing_.use(std::move(cache));
  return {};
}

// Half of the places are left to those who wait for an answer.
std::shared_ptr<void> Server::background_place() {
  if (is_draining_ || open_answers_ >= options().requests_max / 2) return nullptr;
  ++open_answers_;
  return {this, [this](void*) { --open_answers_; }};
}

void Server::on_request(std::shared_ptr<net::Exchange> exchange) {
  const net::HttpHead& head = exchange->head();
  RouteMatch match = match_route(head.method, head.segments);
  const std::shared_ptr<RequestRecord> record = records_.find(head);
  if (record == nullptr) return;  // the client left before its turn came
  Call call{.exchange = exchange,
            .principal = {},
            .id = record->id(),
            .protocol = protocol_of(head.path),
            .path_values = std::move(match.values),
            .record = record};
  // Again, since the key may have changed while the body came.
  ApiResult<Principal> principal = permit(head, *match.route, *record);
  if (!principal) return refuse(call, principal.error());
  call.principal = std::move(*principal);
  match.route->serve(*this, call);
}

net::HttpResponse Server::error(const net::HttpHead* head, int status, std::string_view code,
                                std::string_view message) {
  const wire::Protocol protocol =
      head == nullptr ? wire::Protocol::kOpenAi : protocol_of(head->path);
  const auto record = head == nullptr ? nullptr : records_.find(*head);
  if (record != nullptr) record->set_error(std::string(code));
  return {.status = status,
          .content_type = "application/json",
          .headers =
              record == nullptr ? std::vector<net::HttpHeader>() : common_headers(*head, *record),
          .body = wire::error_body(protocol, {.status = status,
                                              .code = std::string(code),
                                              .message = std::string(message),
                                              .param = ""})};
}

}  // namespace paring::serve
