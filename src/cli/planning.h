// SPDX-License-Identifier: Apache-2.0
// Planning with a model that is not loaded, or not here at all: what weights take in each type, the
// longest context in a given memory, what fits a GPU, and the speed that this machine's limits
// allow. Pure functions of sizes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/inspection.h"
#include "cli/output.h"
#include "cost/probes.h"

namespace paring::cli {

// An estimate of what a GPU's driver, workspaces and fragmentation take of its memory.
inline constexpr std::uint64_t kGpuReserveBytes = std::uint64_t{1} << 30;

struct Gpu {
  std::string name;
  std::uint64_t bytes = 0;
};
// A size (24GB) or a name (A100-80GB, RTX4090); InvalidArgument lists the names.
Result<Gpu> parse_gpu(const std::string& text);

struct PlanQuestions {
  std::uint64_t memory_bytes = 0;       // 0: not asked
  std::optional<Gpu> gpu;               // empty: not asked
  std::optional<cost::Probes> machine;  // empty: no prediction asked
};

struct ContextLimit {
  kernels::KvType kv_type;
  std::size_t tokens = 0;  // 0: not even one
};

struct Plan {
  std::vector<ContextLimit> contexts;  // longest in memory_bytes, by type of the cache
  // On the GPU, with an f16 cache of shape.context_tokens.
  std::uint64_t gpu_need_bytes = 0;  // of the whole model
  std::size_t gpu_layers = 0;        // that fit, the head first
  bool gpu_has_head = false;         // whether head and norms fit as well
  // Of one sequence on this machine, after shape.context_tokens / 2 tokens.
  double decode_tokens_per_second = 0;
  double decode_bytes_per_token = 0;
  double prefill_tokens_per_second = 0;  // of a prompt of kInspectPromptTokens
  std::string formula;                   // how the decode figure came about
};

// REQUIRES: found.spec.
Plan make_plan(const io::ModelFile& file, const Inspection& found, const PlanQuestions& questions);
Json plan_json(const Plan& plan, const PlanQuestions& questions, const Inspection& found);
std::string plan_text(const Plan& plan, const PlanQuestions& questions, const Inspection& found);

// Weights of a model known by its number of parameters alone.
struct WeightsRow {
  std::string type;  // a type's name, or int8 and int4: codes without scales
  double bits_per_weight = 0;
  std::uint64_t bytes = 0;
  std::size_t gpus = 0;                 // needed for the weights alone; 0: not asked
  double decode_tokens_per_second = 0;  // that this machine allows; 0: not asked
};
std::vector<WeightsRow> weights_table(double parameters, const PlanQuestions& questions);
Json weights_json(double parameters, const std::vector<WeightsRow>& rows,
                  const PlanQuestions& questions);
std::string weights_text(double parameters, const std::vector<WeightsRow>& rows,
                         const PlanQuestions& questions);

}  // namespace paring::cli
