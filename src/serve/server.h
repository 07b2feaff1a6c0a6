// SPDX-License-Identifier: Apache-2.0
// Server: HTTP in front of the models. It knows who asks (access/), which route is meant (routes/),
// and runs the engine's loop. Thread-safe.
//
//   PARING_TRY(auto server, serve::Server::start(options, executor));
//   PARING_TRY_VOID(server->models().add({.name = "name", .path = path, .options = options}));
//   PARING_TRY_VOID(server->models().load("name"));
//   server->set_ready();
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/sip_hash.h"
#include "cost/probes.h"
#include "monitor/alerts.h"
#include "monitor/content_filter.h"
#include "monitor/energy_meter.h"
#include "monitor/machine_watch.h"
#include "monitor/otlp_exporter.h"
#include "monitor/price_book.h"
#include "monitor/token_costs.h"
#include "monitor/traffic.h"
#include "net/http_server.h"
#include "serve/access/auditor.h"
#include "serve/access/gate.h"
#include "serve/access/key_ring.h"
#include "serve/answer_sharing.h"
#include "serve/answering.h"
#include "serve/batch_service.h"
#include "serve/canary/canaries.h"
#include "serve/engine_hours.h"
#include "serve/engine_loop.h"
#include "serve/mask_pool.h"
#include "serve/model_registry.h"
#include "serve/model_use.h"
#include "serve/prepare.h"
#include "serve/quality_watch.h"
#include "serve/request_record.h"
#include "serve/route.h"
#include "serve/score_board.h"
#include "serve/task_thread.h"
#include "serve/wire/wire_rules.h"
#include "store/control_db.h"

namespace paring::serve {

// What is kept of each request, below the data folder.
struct TrafficOptions {
  monitor::TrafficMode mode = monitor::TrafficMode::kAsync;
  monitor::TrafficRetention retention;
  std::shared_ptr<const monitor::ContentFilter> content = nullptr;  // null: no prompts and answers
};

struct ServerOptions {
  std::string data_folder;  // of control.db; empty: no database (no keys of it, no batches)
  net::HttpServerOptions http;
  RequestLimits limits;
  std::size_t requests_max = 512;           // generating or waiting together: 503 beyond
  std::size_t queued_tokens_max = 1 << 18;  // prompt tokens that wait: 503 beyond
  ResponseCacheOptions cache;
  BatchServiceOptions batches;
  double drain_seconds = 30;              // that running answers get after SIGTERM
  double stall_seconds = 30;              // without a step: /livez says so
  std::vector<std::string> cors_origins;  // that browsers may call from; empty: none, "*": any
  std::vector<FileKey> keys;              // empty: nobody needs a key
  RegistryOptions models;
  ServedModelOptions model;  // of models that are loaded on request
  bool is_strict = true;     // unknown fields of requests are errors
  AccessLog access_log = AccessLog::kAll;
  bool has_page = true;                                      // the chat page at /
  std::optional<TrafficOptions> traffic = TrafficOptions();  // of the database; absent: none
  // Where OpenTelemetry's spans of requests and histograms go; absent: nowhere.
  std::optional<monitor::OtlpTarget> otlp;
  std::optional<monitor::AlertOptions> alerts;        // objectives; absent: none
  monitor::WattsModel watts;                          // of a machine that has no counter of energy
  monitor::PriceBook prices;                          // of the machine's time and energy
  std::optional<cost::Probes> probes = std::nullopt;  // limits of this machine, where known
};

// The right of a request to be computed: a place among requests_max, and what its key had set aside
// for it. Given back when the last holder lets go. One thread at a time.
class Ticket {
 public:
  using OnUsage = std::function<void(const AnswerUsage&)>;
  // `on_usage` may be empty.
  Ticket(std::atomic<std::size_t>& open, Admission admission, std::shared_ptr<RequestRecord> record,
         OnUsage on_usage)
      : open_(open),
        admission_(std::move(admission)),
        record_(std::move(record)),
        on_usage_(std::move(on_usage)) {}
  ~Ticket() { --open_; }
  Ticket(const Ticket&) = delete;
  Ticket& operator=(const Ticket&) = delete;
  // So many tokens of answers are there. False: the key's budget could not be charged for more.
  bool note(std::size_t tokens);
  // The end, with what was used.
  void settle(const AnswerUsage& usage);
  // The end of an answer that was computed for another: it costs nothing.
  void settle_free(const AnswerUsage& usage);
  // How a choice ended, and where the answer came from, for the record.
  void note_ending(const AnswerEnding& ending);
  void note_error(const ApiError& error) { record_->set_error(error.code); }
  void note_cache(store::TrafficCache cache) { record_->set_cache(cache); }

 private:
  void charge(std::int64_t tokens);
  std::atomic<std::size_t>& open_;
  Admission admission_;
  std::shared_ptr<RequestRecord> record_;
  OnUsage on_usage_;  // may be empty
};

class HttpAnswer;

class Server : public net::RequestHandler {
 public:
  // Listens from here on and says that it is loading. InvalidArgument for an address that others
  // can reach without any key; errors of HttpServer::start().
  static Result<std::unique_ptr<Server>> start(const ServerOptions& options, Executor& executor);
  ~Server() override;

  ModelRegistry& models() noexcept { return *registry_; }
  const ModelRegistry& models() const noexcept { return *registry_; }
  EngineLoop& loop() noexcept { return *loop_; }
  MaskPool& masks() noexcept { return *masks_; }
  // Where answers are written that take long to write.
  TaskThread& finisher() noexcept { return finisher_; }
  // The database; null: the server has none, and the call is answered.
  const store::ControlDb* control(const Call& call);
  // Files and batches; null: the server keeps none, and the call is answered.
  BatchService* batches(const Call& call);
  // Of lines of batches, which their results tell of.
  RequestLog& line_log() noexcept { return line_log_; }
  // Changes that are tried on a share of the requests; null without a database.
  Canaries* canaries() noexcept { return canaries_.get(); }
  // What was served; null: this server keeps none.
  const store::TrafficDb* traffic() const noexcept {
    return traffic_ == nullptr ? nullptr : &traffic_->db();
  }
  // What the steps of its models took is there too, up to now.
  void write_engine_hours() {
    if (engine_hours_ != nullptr) engine_hours_->write();
  }
  // Who writes to it; null likewise.
  monitor::TrafficWriter* traffic_writer() noexcept {
    return traffic_ == nullptr ? nullptr : &traffic_->writer();
  }
  // What becomes of prompts and answers of requests; null: none is kept.
  const monitor::ContentFilter* content_filter() const noexcept {
    return traffic_ == nullptr ? nullptr : options().traffic->content.get();
  }
  // Objectives that requests are held to; null: there are none.
  monitor::Alerts* alerts() noexcept { return alerts_.get(); }
  // A score that was kept: objectives of quality count it, unless it was given again.
  void note_score(const store::ScoreRow& score) noexcept;
  // What /metrics tells of the machine, its limits (null: not known), and what requests cost.
  monitor::MachineReading machine() const { return machine_.reading(); }
  const cost::Probes* probes() const noexcept { return probes_ ? &*probes_ : nullptr; }
  double joules_of_requests() const { return energy_.totals().requests; }
  store::TrafficMoney spent() const;
  // What a row of another's model costs. `is_told`: see monitor::TokenCosts.
  void charge_tokens(store::TrafficRequest& row) {
    token_costs_.charge(options().prices, row, "", /*is_told=*/true);
  }
  // Sums of what is kept of feedback; empty without a database.
  std::vector<store::ScoreSum> score_sums();
  // How many lines of batches may run now.
  std::size_t batch_lines_now() const;
  // As they are now; what it refers to stays as long as the server.
  const ServerOptions& options() const noexcept { return *options_.load(); }
  // Takes over what can change while it runs: bounds, caches, times, origins, keys, strictness,
  // models' memory and idle time. InvalidArgument, and nothing changes, when others could reach the
  // server without a key.
  Result<void> apply(const ServerOptions& changed);
  // Reads the files of the TLS certificate again; on an error it stays.
  Result<void> reload_tls() { return http_->reload_tls(); }
  // How bodies of requests are read.
  wire::WireRules rules() const noexcept { return {.is_strict = options().is_strict}; }
  std::string url() const { return http_->url(); }

  // Before set_ready(): answers are given to questions that mean the same as well. `encoder` is a
  // model of models(). InvalidArgument when there is no cache of answers, and of
  // SemanticCache::create().
  Result<void> use_semantic_cache(std::shared_ptr<ServedModel> encoder,
                                  const SemanticCacheOptions& options);
  // Before set_ready(): answers of `model`, one of models(), are scored again by `original` while
  // there is nothing else to do, and each gets a score "live_kl". Errors of
  // QualityWatch::create().
  Result<void> watch_quality(const std::string& model,
                             std::shared_ptr<const engine::LoadedModel> original,
                             const QualityOptions& options);
  const std::vector<std::shared_ptr<QualityWatch>>& quality_watches() const noexcept {
    return quality_watches_;
  }
  // Null: there is none.
  const SemanticCache* semantic_cache() const noexcept { return sharing_.semantic().get(); }

  void set_ready() noexcept { is_ready_ = true; }
  // Why new work is not taken now; empty: it is.
  std::string unready_reason() const;
  bool is_draining() const noexcept { return is_draining_; }
  bool is_alive() const noexcept { return loop_->stalled_seconds() < options().stall_seconds; }

  // Refuses new work, takes back lines of batches, waits for what runs, ends the rest with an
  // error. Returns how many were cut. `is_impatient`, asked now and then: whether not to wait any
  // longer.
  std::size_t drain(const std::function<bool()>& is_impatient);

  // A response for `error` in the protocol of the call.
  net::HttpResponse error_response(const Call& call, const ApiError& error);
  void respond(const Call& call, int status, std::string content_type, std::string body);
  // The same with headers; those that every answer has are added.
  void respond(const Call& call, net::HttpResponse response);
  void refuse(const Call& call, const ApiError& error);
  // What every answer has: ids, and what the caller's key may still ask for. For streams.
  std::vector<net::HttpHeader> answer_headers(const Call& call);
  // Writes an administrative action down, before its answer leaves: "model.load" of `object`. On an
  // error the action should fail. Without a database the log has it.
  Result<void> audit(const Call& call, std::string_view action, std::string_view object,
                     std::string_view detail = {});
  // Room for work of so many tokens, or 429 or 503 with when to come back.
  ApiResult<std::shared_ptr<Ticket>> admit(const Call& call, const ServedModel& model,
                                           std::size_t prompt_tokens, std::size_t answer_tokens);
  // Calls `then` with the model that the call names, here when it is in memory, else on another
  // thread when it has been loaded. What goes wrong is answered. The body is gone when it waits.
  // `deadline`: monotonic; 0: none of the call's own.
  using WithModel = std::function<void(const ModelUse&)>;
  void with_model(const Call& call, const std::string& name, double deadline, WithModel then);
  // What the answer of a call is labelled with. `asked`: the model as the request names it.
  static AnswerLabel label(const Call& call, const ModelUse& model, const std::string& asked);
  // Says whose work a sequence is: its turn among others, and whose prefixes it may share.
  static void label(const Call& call, engine::SequenceRequest& sequence);
  // Runs a prepared answer and writes it to the caller.
  void answer(const Call& call, const ModelUse& model, AnswerPlan plan,
              std::unique_ptr<AnswerWriter> writer, bool streams);

  std::variant<net::BodyLimit, net::HttpResponse> on_head(const net::HttpHead& head) override;
  void on_request(std::shared_ptr<net::Exchange> exchange) override;
  net::HttpResponse error(const net::HttpHead* head, int status, std::string_view code,
                          std::string_view message) override;
  void on_end(const net::HttpHead& head, const net::RequestEnd& end) override;

 private:
  Server(const ServerOptions& options, std::optional<store::ControlDb> control, bool needs_key,
         Executor& executor);
  store::TrafficRequest row_of(const RequestFacts& facts);
  // Before it listens: requests have rows from now on, where somebody wants them.
  Result<void> keep_rows(std::unique_ptr<monitor::Traffic> traffic);
  // The row of a request to who wants it; `done`: see TrafficWriter::record().
  void keep(const RequestFacts& facts, std::function<void(bool)> done);
  Result<void> begin_canaries();
  void keep_cache(const ResponseCacheOptions& cache);
  CacheRule cache_rule(const Call& call, const AnswerPlan& plan) const;
  void abandon_answers();
  void send(const Call& call, net::HttpResponse response);
  // Calls `send`, which ends the answer: at once, or where traffic is kept in sync, when the
  // request's row is on the disk.
  void keep_first(RequestRecord& record, int status, std::function<void()> send);
  // Has `plan` computed for `receiver`, which can be told to end.
  std::shared_ptr<Answering> compute(std::shared_ptr<ServedModel> model, AnswerPlan plan,
                                     std::shared_ptr<AnswerReceiver> receiver);
  std::shared_ptr<void> background_place();
  void keep_quality(const WatchedAnswer& answer, const std::string& original);
  std::optional<ApiError> overload(const ServedModel& model, std::size_t prompt_tokens) const;
  ApiResult<Principal> authenticate(const net::HttpHead& head);
  ApiResult<Principal> permit(const net::HttpHead& head, const Route& route, RequestRecord& record);
  std::vector<net::HttpHeader> rate_headers_of(const net::HttpHead& head,
                                               const Principal& principal);
  std::vector<net::HttpHeader> common_headers(const net::HttpHead& head,
                                              const RequestRecord& record) const;
  // What is answered to a head alone: anything but a body's limit is an answer.
  std::variant<net::BodyLimit, net::HttpResponse> judge(const net::HttpHead& head,
                                                        const RouteMatch& match,
                                                        RequestRecord& record);
  net::HttpResponse preflight(const net::HttpHead& head, const RequestRecord& record) const;
  // Somebody was refused by access: into the audit log.
  void audit_refusal(const net::HttpHead& head, const RequestRecord& record,
                     const std::string& key_id, const ApiError& error);

  std::mutex options_mutex_;
  std::vector<std::unique_ptr<const ServerOptions>> all_options_;  // guarded by options_mutex_
  std::atomic<const ServerOptions*> options_;                      // the last of them
  std::optional<store::ControlDb> control_;
  std::optional<store::ServingLock> lock_;
  const std::optional<cost::Probes> probes_;
  monitor::MachineWatch machine_;
  monitor::EnergyMeter energy_;  // samples machine_
  mutable std::mutex spent_mutex_;
  store::TrafficMoney spent_;  // guarded by spent_mutex_
  monitor::TokenCosts token_costs_;
  ScoreBoard scores_;
  std::unique_ptr<monitor::Traffic> traffic_;        // null: nothing is kept of requests
  std::unique_ptr<monitor::OtlpExporter> exporter_;  // null: nobody is told of them
  std::unique_ptr<monitor::Alerts> alerts_;          // null: there are no objectives
  std::optional<SipKey> marks_key_;                  // of prompts in rows; absent: no rows
  std::unique_ptr<EngineHours> engine_hours_;        // null: nothing is kept of requests
  KeyRing keys_;
  Gate gate_;
  std::optional<Auditor> auditor_;      // where there is a database
  std::unique_ptr<Canaries> canaries_;  // null without a database
  RequestRecords records_;
  RequestLog line_log_{AccessLog::kOff};
  TaskThread finisher_{thread_names::kFinisher};
  std::unique_ptr<MaskPool> masks_;
  AnswerSharing sharing_;
  std::unique_ptr<net::HttpServer> http_;
  std::unique_ptr<EngineLoop> loop_;
  std::unique_ptr<ModelRegistry> registry_;
  Executor& executor_;
  std::vector<std::shared_ptr<QualityWatch>> quality_watches_;  // complete before set_ready()
  std::unique_ptr<BatchService> batches_;                       // null without a data folder
  std::atomic<std::size_t> open_answers_{0};
  std::mutex answers_mutex_;
  std::set<Answering*> answers_;  // open ones, guarded by answers_mutex_
  std::atomic<bool> is_ready_{false};
  std::atomic<bool> is_draining_{false};
};

}  // namespace paring::serve
