// SPDX-License-Identifier: Apache-2.0
// What every subcommand works with: settings, standard output, progress, the compute threads, and
// the model files they open. Confined to one thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/progress.h"
#include "base/result.h"
#include "cli/output.h"
#include "config/settings.h"
#include "engine/loaded_model.h"
#include "kernels/ops.h"
#include "model/forward.h"

namespace paring::cli {

class Context {
 public:
  // The settings as they are found now, where they may have changed since the start.
  using ReadSettings = std::function<Result<config::Settings>()>;
  Context(const config::Settings& settings, Output& output, ReadSettings read_settings);

  const config::SettingValues& settings() const { return settings_.values(); }
  const config::Settings& all_settings() const { return settings_; }
  const ReadSettings& read_settings() const { return read_settings_; }
  // That the configuration file names.
  const std::vector<config::ModelEntry>& models() const { return settings_.models(); }
  Output& output() { return output_; }
  ProgressSink& progress() { return *progress_; }
  // Made at first use.
  Result<Executor*> executor();

  model::Numerics numerics() const;
  // The setting, or what suits this model and the numerics.
  kernels::KvType kv_type(const io::ModelFile& file) const;
  // The setting, or the model's own limit where that is lower.
  std::size_t context_tokens(const model::BlockSpec& spec) const;

  // Path of the file that MODEL names.
  Result<std::string> resolve(const std::string& name);
  // `extra_bytes`: what will be needed beside the weights.
  Result<engine::LoadedModel> load(const std::string& name, std::size_t extra_bytes,
                                   engine::ModelKind kind = engine::ModelKind::kDecoder);

 private:
  const config::Settings& settings_;
  Output& output_;
  ReadSettings read_settings_;
  std::unique_ptr<ProgressSink> progress_;
  std::unique_ptr<Executor> executor_;
};

using model::numerics_name;

}  // namespace paring::cli
