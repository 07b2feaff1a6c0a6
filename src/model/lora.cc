// SPDX-License-Identifier: Apache-2.0
#include "model/lora.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "io/printable.h"
#include "model/vectors.h"

namespace paring::model {

namespace {

constexpr std::string_view kDownSuffix = ".lora_a";
constexpr std::string_view kUpSuffix = ".lora_b";

Error wrong_tensor(const io::ModelFile& file, std::string_view name, std::string_view what) {
  return corrupt(fmt::format("{}: tensor '{}' {}", file.path(), io::printable(name), what),
                 "the adapter is of another model, or damaged");
}

Result<void> check_kind(const io::ModelFile& file, const Model& model) {
  const io::Metadata& metadata = file.metadata();
  const auto text = [&](const char* key) -> Result<std::string> {
    if (!metadata.has(key)) return std::string();
    return metadata.get_string(key);
  };
  PARING_TRY(const std::string kind, text("general.type"));
  if (kind != "adapter") {
    return invalid_argument(
        fmt::format("{} is no adapter: general.type is '{}'", file.path(), io::printable(kind)),
        "convert one with llama.cpp's convert_lora_to_gguf.py");
  }
  PARING_TRY(const std::string adapter, text("adapter.type"));
  if (adapter != "lora") {
    return unsupported(fmt::format("{}: adapter.type is '{}'", file.path(), io::printable(adapter)),
                       "only 'lora' is computed");
  }
  PARING_TRY(const std::string architecture, text("general.architecture"));
  if (architecture != model.spec().architecture) {
    return invalid_argument(
        fmt::format("{} is an adapter for architecture '{}', the model's is '{}'", file.path(),
                    io::printable(architecture), model.spec().architecture),
        "an adapter fits the model that it was trained on");
  }
  return {};
}

// alpha of the file; none, or 0, means that no rank divides.
Result<std::optional<float>> read_alpha(const io::ModelFile& file) {
  if (!file.metadata().has("adapter.lora.alpha")) return std::optional<float>();
  PARING_TRY(const double alpha, file.metadata().get_f64("adapter.lora.alpha"));
  if (!std::isfinite(alpha)) {
    return corrupt(fmt::format("{}: adapter.lora.alpha is not a number", file.path()));
  }
  if (alpha == 0) return std::optional<float>();
  return std::optional<float>(static_cast<float>(alpha));
}

bool is_adaptable(MatrixKind kind) {
  switch (kind) {
    case MatrixKind::kQuery:
    case MatrixKind::kKey:
    case MatrixKind::kValue:
    case MatrixKind::kAttentionOut:
    case MatrixKind::kGate:
    case MatrixKind::kUp:
    case MatrixKind::kDown:
    case MatrixKind::kQkv:
    case MatrixKind::kGateUp:
      return true;
    case MatrixKind::kEmbedding:
    case MatrixKind::kHead:
    case MatrixKind::kExpertGate:
    case MatrixKind::kExpertUp:
    case MatrixKind::kExpertDown:
      break;
  }
  return false;
}

// The tensor as F32 panels, each value times `scale`.
Result<kernels::PackedMatrix> read_matrix(const io::ModelFile& file, const io::TensorInfo& tensor,
                                          float scale) {
  PARING_TRY(std::vector<float> values, load_values(file, tensor));
  file.release(tensor);
  for (float& value : values) {
    value *= scale;
    if (!std::isfinite(value)) {
      return wrong_tensor(file, tensor.name, "holds a value that its scale makes infinite");
    }
  }
  return kernels::pack(DType::kF32, reinterpret_cast<const std::byte*>(values.data()),
                       tensor.rows(), tensor.columns());
}

struct PairTensors {
  const io::TensorInfo* down = nullptr;
  const io::TensorInfo* up = nullptr;
};

// Both tensors of each matrix, by the matrix's place in the model.
Result<std::unordered_map<std::size_t, PairTensors>> find_pairs(const io::ModelFile& file,
                                                                const Model& model) {
  std::unordered_map<std::string_view, std::size_t> slots;
  for (std::size_t i = 0; i < model.matrix_count(); ++i) slots.emplace(model.slot(i).name, i);
  std::unordered_map<std::size_t, PairTensors> pairs;
  for (const io::TensorInfo& tensor : file.tensors()) {
    const std::string_view name = tensor.name;
    const bool is_down = name.ends_with(kDownSuffix);
    if (!is_down && !name.ends_with(kUpSuffix)) {
      return unsupported(fmt::format("{}: tensor '{}' is neither A nor B of a LoRA adapter",
                                     file.path(), io::printable(name)),
                         "only tensors that end in .lora_a or .lora_b are computed");
    }
    const auto slot = slots.find(name.substr(0, name.size() - kDownSuffix.size()));
    if (slot == slots.end()) {
      return wrong_tensor(file, name, "is for a matrix that the model does not have");
    }
    if (!is_adaptable(model.slot(slot->second).id.kind)) {
      return unsupported(fmt::format("{}: tensor '{}' adapts an embedding, a head or experts",
                                     file.path(), io::printable(name)),
                         "adapters of attention and feed-forward matrices are computed");
    }
    PairTensors& pair = pairs[slot->second];
    (is_down ? pair.down : pair.up) = &tensor;
  }
  if (pairs.empty()) {
    return corrupt(fmt::format("{}: the adapter has no tensors", file.path()));
  }
  return pairs;
}

Result<void> check_shapes(const io::ModelFile& file, const MatrixSlot& slot,
                          const PairTensors& pair) {
  if (pair.down == nullptr || pair.up == nullptr) {
    const io::TensorInfo& lone = pair.down == nullptr ? *pair.up : *pair.down;
    return wrong_tensor(file, lone.name, "has no counterpart (.lora_a and .lora_b)");
  }
  if (pair.down->shape.size() != 2 || pair.up->shape.size() != 2) {
    return wrong_tensor(file, pair.down->name, "and its counterpart must be matrices");
  }
  const std::uint64_t rank = pair.down->rows();
  if (rank == 0 || rank > kLoraRankMax) {
    return wrong_tensor(file, pair.down->name,
                        fmt::format("has rank {}, the limit is {}", rank, kLoraRankMax));
  }
  if (pair.up->columns() != rank || pair.down->columns() != slot.cols ||
      pair.up->rows() != slot.rows) {
    return wrong_tensor(
        file, pair.down->name,
        fmt::format("is {} x {} and its counterpart {} x {}; the model's matrix is {} x {}", rank,
                    pair.down->columns(), pair.up->rows(), pair.up->columns(), slot.rows,
                    slot.cols));
  }
  return {};
}

}  // namespace

Result<std::shared_ptr<const Lora>> Lora::load(const io::ModelFile& file, const Model& model,
                                               float scale) {
  if (!std::isfinite(scale)) {
    return invalid_argument("the scale of an adapter must be a finite number");
  }
  PARING_TRY_VOID(check_kind(file, model));
  PARING_TRY(const std::optional<float> alpha, read_alpha(file));
  PARING_TRY(const auto pairs, find_pairs(file, model));
  std::vector<std::unique_ptr<LoraPair>> loaded(model.matrix_count());
  for (const auto& [index, tensors] : pairs) {
    PARING_TRY_VOID(check_shapes(file, model.slot(index), tensors));
    const std::size_t rank = tensors.down->rows();
    const float own = alpha ? *alpha / static_cast<float>(rank) : 1.0F;
    auto pair = std::make_unique<LoraPair>();
    PARING_TRY(pair->down, read_matrix(file, *tensors.down, 1.0F));
    PARING_TRY(pair->up, read_matrix(file, *tensors.up, own * scale));
    loaded[index] = std::move(pair);
  }
  std::shared_ptr<Lora> lora = make(std::move(loaded));
  lora->path_ = file.path();
  return std::shared_ptr<const Lora>(std::move(lora));
}

std::shared_ptr<Lora> Lora::make(std::vector<std::unique_ptr<LoraPair>> pairs) {
  static std::atomic<std::uint64_t> next_id = 1;
  auto lora = std::make_shared<Lora>();
  lora->id_ = next_id++;
  lora->pairs_ = std::move(pairs);
  for (const auto& pair : lora->pairs_) {
    if (pair != nullptr) lora->rank_max_ = std::max(lora->rank_max_, pair->down.rows);
  }
  return lora;
}

std::shared_ptr<const Lora> Lora::from_parts(std::vector<std::unique_ptr<LoraPair>> pairs) {
  return make(std::move(pairs));
}

}  // namespace paring::model
