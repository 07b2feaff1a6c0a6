// SPDX-License-Identifier: Apache-2.0
// paring serve: models behind HTTP, until a signal ends it.
#include <fmt/format.h>
#include <pthread.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "base/clock.h"
#include "base/log.h"
#include "base/service_manager.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/served_models.h"
#include "hub/model_source.h"
#include "serve/access/key_file.h"
#include "serve/server.h"
#include "store/data_folder.h"

namespace paring::cli {

namespace {

struct ServeOptions {
  std::vector<std::string> models;    // MODEL or NAME=MODEL
  std::vector<std::string> adapters;  // NAME=ADAPTER or MODEL:NAME=ADAPTER
};

// SIGINT and SIGTERM, taken by the thread that waits for them and by no other.
class Signals {
 public:
  Signals() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGINT);
    sigaddset(&set_, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set_, &before_);
  }
  ~Signals() {
    // One that came late is dropped: the process is about to end anyway.
    std::signal(SIGINT, SIG_IGN);
    std::signal(SIGTERM, SIG_IGN);
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;
  int wait() const {
    int signal = 0;
    sigwait(&set_, &signal);
    return signal;
  }
  // Whether one has come meanwhile.
  bool has_another() const {
    const timespec no_time = {};
    return sigtimedwait(&set_, nullptr, &no_time) > 0;
  }

 private:
  sigset_t set_;
  sigset_t before_;
};

bool is_set(const std::string& text) { return text != "none"; }

std::vector<std::string> split_list(const std::string& text) {
  std::vector<std::string> items;
  std::size_t begin = 0;
  while (begin <= text.size()) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    if (end > begin) items.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return items;
}

Result<std::vector<serve::FileKey>> read_keys(const config::SettingValues& settings) {
  std::vector<serve::FileKey> keys;
  if (is_set(settings.api_key_file)) {
    PARING_TRY(keys, serve::read_key_file(settings.api_key_file));
  }
  if (const char* key = std::getenv(serve::kKeyVariable); key != nullptr && *key != '\0') {
    PARING_TRY(std::vector<serve::FileKey> more, serve::parse_key_file(key, serve::kKeyVariable));
    std::move(more.begin(), more.end(), std::back_inserter(keys));
  }
  return keys;
}

Result<serve::ServerOptions> server_options(const config::SettingValues& settings) {
  serve::ServerOptions options;
  options.http.address = settings.serve_host;
  options.http.port = static_cast<std::uint16_t>(settings.serve_port);
  options.http.connections_max = settings.serve_connections_max;
  if (is_set(settings.serve_tls_certificate) != is_set(settings.serve_tls_key)) {
    return invalid_argument("TLS takes both --tls-certificate and --tls-key", "give both or none");
  }
  if (is_set(settings.serve_tls_certificate)) {
    options.http.tls_certificate_file = settings.serve_tls_certificate;
    options.http.tls_key_file = settings.serve_tls_key;
  }
  options.requests_max = settings.serve_requests_max;
  options.queued_tokens_max = settings.serve_queued_tokens_max;
  options.cache.bytes_max = settings.serve_cache_bytes;
  options.cache.seconds_max = static_cast<double>(settings.serve_cache_seconds);
  options.drain_seconds = static_cast<double>(settings.serve_drain_seconds);
  options.stall_seconds = static_cast<double>(settings.serve_stall_seconds);
  options.is_strict = !settings.serve_lenient;
  options.has_page = !settings.serve_no_page;
  options.access_log = settings.serve_access_log == "all"      ? serve::AccessLog::kAll
                       : settings.serve_access_log == "failed" ? serve::AccessLog::kFailed
                                                               : serve::AccessLog::kOff;
  if (is_set(settings.serve_cors_origins)) {
    options.cors_origins = split_list(settings.serve_cors_origins);
  }
  PARING_TRY(options.keys, read_keys(settings));
  PARING_TRY(options.data_folder, store::data_folder(settings.data_dir, environ));
  return options;
}

serve::ServedModelOptions model_options(const Context& context) {
  const config::SettingValues& settings = context.settings();
  serve::ServedModelOptions options;
  options.numerics = context.numerics();
  options.kv_type = kernels::find_kv_type(settings.kv_type);
  options.context_tokens = settings.context_tokens;
  options.cache_tokens = settings.serve_cache_tokens;
  options.sequences_max = settings.serve_sequences_max;
  options.waiting_max = settings.serve_requests_max * 2;
  options.waiting_tokens_max = settings.serve_queued_tokens_max;
  options.guesses_ngrams = !settings.serve_no_speculation;
  options.locks_memory = settings.mlock;
  return options;
}

Result<void> load_model(Context& context, const ModelWords& words, serve::Server& server) {
  serve::ServedModelOptions options = model_options(context);
  PARING_TRY(const std::string path, context.resolve(words.model.source));
  for (const NamedSource& adapter : words.adapters) {
    PARING_TRY(const std::string file, hub::resolve_adapter(adapter.source, context.progress()));
    options.adapters.push_back({.name = adapter.name, .path = file});
  }
  const double start = system_clock().monotonic_seconds();
  auto model = server.models().load(words.model.name, path, options);
  if (!model) return std::move(model.error());  // it names the file
  log_info(fmt::format("{}: loaded in {:.2f} s, context {} tokens, variant {:.12}",
                       words.model.name, system_clock().monotonic_seconds() - start,
                       (*model)->context_tokens(), (*model)->variant()));
  for (const auto& adapter : (*model)->adapters()) {
    log_info(fmt::format("{}: adapter of {}, rank {}, variant {:.12}", adapter->name,
                         words.model.name, adapter->lora->rank_max(), adapter->variant));
  }
  return {};
}

// The encoder of the semantic cache: one of the models that are served, or one more.
Result<void> set_up_semantic_cache(Context& context, serve::Server& server) {
  const config::SettingValues& settings = context.settings();
  if (!is_set(settings.serve_semantic_cache)) return {};
  PARING_TRY(const std::vector<ModelWords> words,
             read_model_words({settings.serve_semantic_cache}, {}));
  const ModelWords& encoder = words.front();
  if (!server.models().find(encoder.model.name)) {
    PARING_TRY_VOID(load_model(context, encoder, server));
  }
  auto loaded = server.models().find(encoder.model.name);
  if (!loaded) return not_found(loaded.error().message);
  serve::SemanticCacheOptions options;
  options.bytes_max = settings.serve_semantic_cache_bytes;
  options.seconds_max = static_cast<double>(settings.serve_cache_seconds);
  options.similarity_min = static_cast<double>(settings.serve_semantic_cache_similarity) / 1000;
  options.false_hits_max = static_cast<double>(settings.serve_semantic_cache_false_hits) / 100;
  options.sample = static_cast<double>(settings.serve_semantic_cache_sample) / 100;
  return server.use_semantic_cache(loaded->model, options);
}

Result<void> serve_models(Context& context, const ServeOptions& options) {
  PARING_TRY(Executor * executor, context.executor());
  PARING_TRY(const serve::ServerOptions settings, server_options(context.settings()));
  PARING_TRY(const std::vector<ModelWords> models,
             read_model_words(options.models, options.adapters));
  const Signals signals;
  const ServiceManager manager = ServiceManager::from_environment();
  manager.tell_status("loads models");
  PARING_TRY(const std::unique_ptr<serve::Server> server,
             serve::Server::start(settings, *executor));
  for (const ModelWords& model : models) PARING_TRY_VOID(load_model(context, model, *server));
  PARING_TRY_VOID(set_up_semantic_cache(context, *server));
  server->set_ready();
  manager.tell_ready(
      fmt::format("serves {} at {}", counted(options.models.size(), "model"), server->url()));
  const ServiceWatchdog watchdog(manager, [&] { return server->is_alive(); });
  // For people and for programs that wait for it: standard output has this line only.
  context.output().write(
      fmt::format("paring serves {} at {}\n", models.front().model.name, server->url()));
  PARING_TRY_VOID(context.output().flush());
  const int signal = signals.wait();
  manager.tell_stopping("lets running answers finish");
  log_info(
      fmt::format("signal {}: taking no more requests, running ones get {} s, or until the "
                  "next signal",
                  signal, settings.drain_seconds));
  const std::size_t cut = server->drain([&] { return signals.has_another(); });
  if (cut > 0) log_warning(fmt::format("{} answers were cut short", cut));
  return {};
}

std::function<Result<void>(Context&)> define(CLI::App& app) {
  auto options = std::make_shared<ServeOptions>();
  app.add_option(
         "MODEL", options->models,
         "Models to serve, as files, folders or hf: names; NAME=MODEL gives one a name, the "
         "first is the default")
      ->required();
  app.add_option("--lora", options->adapters,
                 "LoRA adapter that requests can name as their model: NAME=ADAPTER for the first "
                 "model, MODEL:NAME=ADAPTER for another; may be given several times")
      ->type_name("NAME=ADAPTER")
      ->allow_extra_args(false);
  return [options](Context& context) { return serve_models(context, *options); };
}

}  // namespace

extern const Command kServe;
const Command kServe = {
    .name = "serve",
    .summary = "Serve models over HTTP, as OpenAI's, Anthropic's and Ollama's clients expect",
    .examples =
        "  paring serve model.gguf\n"
        "  paring serve chat=model.gguf embed=all-MiniLM-L6-v2 --port 8080\n"
        "  paring serve model.gguf --lora legal=legal-adapter/ --lora french=hf:owner/name\n"
        "  PARING_API_KEY=... paring serve model.gguf --host 0.0.0.0\n",
    .is_hidden = false,
    .define = define,
};

}  // namespace paring::cli
