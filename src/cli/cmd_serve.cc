// SPDX-License-Identifier: Apache-2.0
// paring serve: models behind HTTP, until a signal ends it.
#include <fmt/format.h>

#include "base/log.h"
#include "base/service_manager.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/machine_figures.h"
#include "cli/serve_reload.h"
#include "cli/serve_settings.h"
#include "cli/served_models.h"
#include "cli/signals.h"
#include "cost/machine.h"
#include "hub/model_source.h"
#include "kernels/ops.h"
#include "serve/server.h"

namespace paring::cli {

namespace {

// Makes all models known, so that their names mean something from the first request on, then loads
// those that are to be there from the start.
Result<void> load_models(Context& context, const std::vector<config::ModelEntry>& models,
                         serve::Server& server) {
  for (const config::ModelEntry& entry : models) {
    PARING_TRY(const serve::ModelSource source,
               source_of(entry, model_options(context.settings()), &context.progress()));
    PARING_TRY_VOID(server.models().add(source));
  }
  for (const config::ModelEntry& entry : models) {
    if (entry.loads_at_start) PARING_TRY_VOID(server.models().load(entry.name));
  }
  return {};
}

// The encoder of the semantic cache: one of the models that are served, or one more, which then
// stays in memory.
Result<void> set_up_semantic_cache(Context& context, serve::Server& server) {
  const config::SettingValues& settings = context.settings();
  if (settings.serve_semantic_cache == "none") return {};
  PARING_TRY(const std::vector<config::ModelEntry> entries,
             served_models({.models = {settings.serve_semantic_cache}, .adapters = {}}, {}));
  const config::ModelEntry& encoder = entries.front();
  if (!server.models().status(encoder.name)) {
    PARING_TRY(const serve::ModelSource source,
               source_of(encoder, model_options(settings), &context.progress()));
    PARING_TRY_VOID(server.models().add(source));
  }
  PARING_TRY_VOID(server.models().load(encoder.name));
  const auto loaded = server.models().find_ready(encoder.name);
  if (!loaded) return not_found(fmt::format("the model '{}' was unloaded", encoder.name));
  serve::SemanticCacheOptions options;
  options.bytes_max = settings.serve_semantic_cache_bytes;
  options.seconds_max = static_cast<double>(settings.serve_cache_seconds);
  options.similarity_min = static_cast<double>(settings.serve_semantic_cache_similarity) / 1000;
  options.false_hits_max = static_cast<double>(settings.serve_semantic_cache_false_hits) / 100;
  options.sample = static_cast<double>(settings.serve_semantic_cache_sample) / 100;
  return server.use_semantic_cache(loaded->model, options);
}

// The model that scores answers again: [NAME=]MODEL. It is none of those that are served.
Result<void> set_up_quality(Context& context, const std::string& first, serve::Server& server) {
  const config::SettingValues& settings = context.settings();
  if (settings.serve_original == "none") return {};
  const NamedSource named = named_source(settings.serve_original);
  PARING_TRY(const std::string path, hub::resolve_model(named.source, context.progress()));
  // Of this thread alone: the engine's executor may be at work already.
  PARING_TRY(const std::unique_ptr<Executor> loader,
             Executor::create({.threads = 1, .pin = false}));
  PARING_TRY(engine::LoadedModel loaded, engine::LoadedModel::load(path, *loader, {}));
  serve::QualityOptions options;
  options.share = static_cast<double>(settings.serve_original_share) / 100;
  options.drift_factor = static_cast<double>(settings.serve_original_drift) / 100;
  Result<void> watched =
      server.watch_quality(named.name.empty() ? first : named.name,
                           std::make_shared<const engine::LoadedModel>(std::move(loaded)), options);
  if (!watched) return Error(watched.error()).with_context("--original");
  return {};
}

// Takes over a changed configuration as often as it is asked to (SIGHUP). The signal to end.
int wait_for_end(const Signals& signals, ServeReload& reload) {
  for (;;) {
    const int signal = signals.wait();
    if (signal != SIGHUP) return signal;
    if (const Result<void> done = reload.reload(); !done) {
      log_error("the configuration stays as it was: " + done.error().text());
    }
  }
}

// What `paring info` measured; to measure takes longer than a server should take to start.
std::optional<cost::Probes> known_limits(const Executor& executor) {
  const Result<std::string> path = machine_figures_path();
  if (!path) return std::nullopt;
  std::optional<cost::Probes> limits = load_machine_figures(
      *path, cost::read_machine().cpu, kernels::kernels().isa, executor.threads());
  if (!limits) {
    log_info(
        "limits of this machine are not known, so metrics have no roofline: run paring info "
        "once");
  }
  return limits;
}

Result<void> serve_models(Context& context, const ServedWords& words) {
  PARING_TRY(Executor * executor, context.executor());
  PARING_TRY(serve::ServerOptions settings, server_options(context.settings()));
  settings.probes = known_limits(*executor);
  PARING_TRY(const std::vector<config::ModelEntry> models, served_models(words, context.models()));
  const Signals signals;
  const ServiceManager manager = ServiceManager::from_environment();
  manager.tell_status("loads models");
  PARING_TRY(const std::unique_ptr<serve::Server> server,
             serve::Server::start(settings, *executor));
  PARING_TRY_VOID(load_models(context, models, *server));
  PARING_TRY_VOID(set_up_semantic_cache(context, *server));
  PARING_TRY_VOID(set_up_quality(context, models.front().name, *server));
  server->set_ready();
  manager.tell_ready(
      fmt::format("serves {} at {}", counted(models.size(), "model"), server->url()));
  const ServiceWatchdog watchdog(manager, [&] { return server->is_alive(); });
  // For people and for programs that wait for it: standard output has this line only.
  context.output().write(
      fmt::format("paring serves {} at {}\n", models.front().name, server->url()));
  PARING_TRY_VOID(context.output().flush());
  ServeReload reload(*server, context.all_settings(), models, words, context.read_settings());
  const int signal = wait_for_end(signals, reload);
  manager.tell_stopping("lets running answers finish");
  log_info(
      fmt::format("signal {}: taking no more requests, running ones get {} s, or until the "
                  "next signal",
                  signal, server->options().drain_seconds));
  const std::size_t cut = server->drain([&] { return signals.has_another(); });
  if (cut > 0) log_warning(fmt::format("{} answers were cut short", cut));
  return {};
}

std::function<Result<void>(Context&)> define(CLI::App& app) {
  auto options = std::make_shared<ServedWords>();
  app.add_option("MODEL", options->models,
                 "Models to serve, as files, folders or hf: names; NAME=MODEL gives one a name, "
                 "the first is the default; the configuration file can name more");
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
