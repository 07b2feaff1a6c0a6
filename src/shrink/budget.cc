// SPDX-License-Identifier: Apache-2.0
#include "shrink/budget.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>

#include "base/text.h"
#include "engine/generator.h"
#include "io/gguf.h"
#include "quant/format.h"
#include "shrink/certify.h"
#include "shrink/quantize.h"

namespace paring::shrink {

namespace {

// Of a metadata entry beside key and text: their lengths and the value's type.
constexpr std::uint64_t kEntryBytes = 8 + 4 + 8;

std::uint64_t align_up(std::uint64_t value, std::uint64_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

// The next tenth of a megabyte (or kilobyte below ten megabytes) that holds `bytes`, so that the
// value in a message can be typed as it stands.
std::string typed_size(std::uint64_t bytes) {
  const std::uint64_t step = bytes < 10'000'000 ? 100 : 100'000;
  const std::uint64_t rounded = (bytes + step - 1) / step * step;
  return step == 100 ? fmt::format("{:.1f}kB", static_cast<double>(rounded) / 1e3)
                     : fmt::format("{:.1f}MB", static_cast<double>(rounded) / 1e6);
}

Error too_small(const char* flag, const char* what, std::uint64_t asked, std::uint64_t least,
                std::uint64_t fixed) {
  return exhausted(
      fmt::format("{} {} is impossible: with the smallest allowed type for every matrix the {} "
                  "takes {}, of which {} do not depend on types",
                  flag, format_bytes(asked), what, format_bytes(least), format_bytes(fixed)),
      fmt::format("the nearest possible is {} {}", flag, typed_size(least)));
}

}  // namespace

Result<void> check_bounds(const Budget& budget) {
  if (budget.file_bytes == 0 && budget.memory_bytes == 0 && budget.speedup == 0 &&
      budget.kl_max == 0) {
    return invalid_argument("no budget was given",
                            "name at least one of --file, --memory, --speed, --kl");
  }
  if (!(budget.speedup >= 0) || !(budget.kl_max >= 0) || !std::isfinite(budget.speedup) ||
      !std::isfinite(budget.kl_max)) {
    return invalid_argument("speed and KL budgets must be positive numbers");
  }
  return {};
}

Result<std::uint64_t> tensor_alignment(const io::ModelFile& file) {
  return file.metadata().u64_or("general.alignment", io::kGgufAlignmentDefault);
}

Result<FixedCosts> fixed_costs(const engine::LoadedModel& model, const OptimizeOptions& options,
                               std::size_t threads) {
  const Budget& budget = options.budget;
  PARING_TRY(const std::uint64_t alignment, tensor_alignment(model.file));
  // The output's size if no type changed: another layout's source has a size of its own.
  QuantizeOptions as_it_is;
  std::uint64_t in_file = 0;
  std::uint64_t packed = 0;
  for (std::size_t i = 0; i < model.model->matrix_count(); ++i) {
    const model::MatrixSlot& slot = model.model->slot(i);
    in_file += align_up(model.file.find(slot.name)->bytes, alignment);
    as_it_is.types.push_back(model.file.find(slot.name)->type);
    packed += model.model->matrix(i).bytes();
  }
  const model::BlockSpec& spec = model.model->spec();
  const std::uint64_t step = engine::Generator::bytes_for(
      spec,
      {.numerics = model::Numerics::kServed,
       .kv_type = kernels::KvType::kQ8,
       .context_tokens = std::min(budget.context_tokens, spec.context_max)},
      threads);
  PARING_TRY(const std::uint64_t file_bytes, quantized_file_bytes(model, as_it_is));
  PARING_TRY(const std::uint64_t certificate, certificate_bytes_max(model, options));
  const std::uint64_t entry =
      kEntryBytes + std::string_view(api::kCertificateKey).size() + certificate + alignment;
  return FixedCosts{file_bytes - in_file + entry, model.model->weight_bytes() - packed + step};
}

Result<MatrixCost> matrix_cost(DType type, std::size_t rows, std::size_t cols,
                               std::uint64_t alignment) {
  PARING_TRY(const std::uint64_t row_bytes, dtype_row_bytes(type, cols));
  // The memory is never touched, so that this costs neither time nor pages.
  PARING_TRY(const kernels::PackedMatrix packed, kernels::allocate_packed(type, rows, cols));
  return MatrixCost{align_up(row_bytes * rows, alignment), packed.bytes()};
}

std::vector<DType> types_of(const engine::LoadedModel& model, std::size_t slot,
                            std::span<const DType> allowed) {
  const DType original = model.model->matrix(slot).type;
  std::vector<DType> types = {original};
  for (const DType type : allowed) {
    const bool is_new = std::find(types.begin(), types.end(), type) == types.end();
    if (is_new && dtype_row_bytes(type, model.model->slot(slot).cols)) types.push_back(type);
  }
  return types;
}

Result<std::vector<DType>> allowed_types(const OptimizeOptions& options) {
  if (options.types.empty()) {
    std::vector<DType> types;
    for (const quant::Format& format : quant::formats()) {
      if (format.is_block_quantized && kernels::has_panel_layout(format.type))
        types.push_back(format.type);
    }
    return types;
  }
  for (const DType type : options.types) {
    PARING_TRY(const quant::Format* format, quant::require_format(type));
    (void)format;
  }
  return options.types;
}

Result<void> check_budget(const engine::LoadedModel& model, const OptimizeOptions& options,
                          std::size_t threads) {
  const Budget& budget = options.budget;
  PARING_TRY_VOID(check_bounds(budget));
  PARING_TRY(const std::vector<DType> allowed, allowed_types(options));
  PARING_TRY(const FixedCosts fixed, fixed_costs(model, options, threads));
  PARING_TRY(const std::uint64_t alignment, tensor_alignment(model.file));
  MatrixCost least;
  for (std::size_t i = 0; i < model.model->matrix_count(); ++i) {
    const model::MatrixSlot& slot = model.model->slot(i);
    MatrixCost smallest{UINT64_MAX, UINT64_MAX};
    for (const DType type : types_of(model, i, allowed)) {
      PARING_TRY(const MatrixCost cost, matrix_cost(type, slot.rows, slot.cols, alignment));
      smallest.file_bytes = std::min(smallest.file_bytes, cost.file_bytes);
      smallest.memory_bytes = std::min(smallest.memory_bytes, cost.memory_bytes);
    }
    least.file_bytes += smallest.file_bytes;
    least.memory_bytes += smallest.memory_bytes;
  }
  const std::uint64_t file = least.file_bytes + fixed.file_bytes;
  const std::uint64_t memory = least.memory_bytes + fixed.memory_bytes;
  if (budget.file_bytes != 0 && file > budget.file_bytes) {
    return too_small("--file", "file", budget.file_bytes, file, fixed.file_bytes);
  }
  if (budget.memory_bytes != 0 && memory > budget.memory_bytes) {
    return too_small("--memory", "model in use", budget.memory_bytes, memory, fixed.memory_bytes);
  }
  return {};
}

}  // namespace paring::shrink
