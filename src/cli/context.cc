// SPDX-License-Identifier: Apache-2.0
#include "cli/context.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "hub/model_source.h"

namespace paring::cli {

Context::Context(const config::Settings& settings, Output& output, ReadSettings read_settings)
    : settings_(settings),
      output_(output),
      read_settings_(std::move(read_settings)),
      progress_(make_progress(
          {.style = progress_style(settings.values().quiet), .clock = nullptr, .write = {}})) {}

Result<Executor*> Context::executor() {
  if (executor_ == nullptr) {
    PARING_TRY(executor_,
               Executor::create({.threads = static_cast<std::size_t>(settings().threads)}));
  }
  return executor_.get();
}

model::Numerics Context::numerics() const {
  if (settings().numerics == "exact") return model::Numerics::kExact;
  return settings().numerics == "fast" ? model::Numerics::kFast : model::Numerics::kServed;
}

kernels::KvType Context::kv_type(const io::ModelFile& file) const {
  const std::string& name = settings().kv_type;
  if (const auto type = kernels::find_kv_type(name)) return *type;
  if (numerics() == model::Numerics::kExact) return kernels::KvType::kF32;
  return engine::served_kv_type(file);
}

std::size_t Context::context_tokens(const model::BlockSpec& spec) const {
  return std::min(static_cast<std::size_t>(settings().context_tokens), spec.context_max);
}

Result<std::string> Context::resolve(const std::string& name) {
  return hub::resolve_model(name, progress());
}

Result<engine::LoadedModel> Context::load(const std::string& name, std::size_t extra_bytes,
                                          engine::ModelKind kind) {
  PARING_TRY(const std::string path, resolve(name));
  PARING_TRY(Executor * threads, executor());
  return engine::LoadedModel::load(
      path, *threads, {.kind = kind, .extra_bytes = extra_bytes, .locks_memory = settings().mlock});
}

}  // namespace paring::cli
