// SPDX-License-Identifier: Apache-2.0
// What a server knows of a model, whether it is in memory or not. Plain data.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "serve/served_model.h"

namespace paring::serve {

struct ModelSource {
  std::string name;
  std::string path;            // of a file or folder that is there
  ServedModelOptions options;  // adapters included
  // Seconds without a request after which it is unloaded; 0: never, absent: as for all models.
  std::optional<double> idle_seconds = std::nullopt;
  // Known for good: a request loads it again. Else its name is forgotten when it is unloaded on
  // request, since it came by one.
  bool is_configured = true;

  bool operator==(const ModelSource&) const = default;
};

enum class ModelState : std::uint8_t { kUnloaded, kLoading, kReady, kUnloading };
// "unloaded", "loading", "ready", "unloading".
const char* model_state_name(ModelState state) noexcept;

// A model at one moment.
struct ModelStatus {
  ModelSource source;
  ModelState state = ModelState::kUnloaded;
  std::shared_ptr<ServedModel> model;  // when it is ready
  std::uint64_t memory_bytes = 0;      // predicted; 0 when it is not in memory
  double used_at = 0;                  // monotonic: its last request
  double idle_seconds = 0;             // that hold for it; 0: never
  std::size_t waiting = 0;             // requests that wait for it
  std::string problem;                 // why it could not be loaded the last time; ""
};

}  // namespace paring::serve
