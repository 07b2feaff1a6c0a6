// SPDX-License-Identifier: Apache-2.0
#include "model/adapter_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <optional>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>

#include "io/peft_folder.h"
#include "io/printable.h"
#include "kernels/packed_matrix.h"
#include "model/lora.h"
#include "model/peft_adapter.h"
#include "model/weights.h"

namespace paring::model {

namespace {

constexpr std::string_view kDownSuffix = ".lora_a";
constexpr std::string_view kUpSuffix = ".lora_b";

Error wrong_tensor(const io::ModelFile& file, std::string_view name, std::string_view what) {
  return corrupt(fmt::format("{}: tensor '{}' {}", file.path(), io::printable(name), what),
                 "the adapter is of another model, or damaged");
}

Result<void> check_kind(const io::ModelFile& file, const BlockSpec& spec) {
  const io::Metadata& metadata = file.metadata();
  const auto text = [&](const char* key) -> Result<std::string> {
    if (!metadata.has(key)) return std::string();
    return metadata.get_string(key);
  };
  PARING_TRY(const std::string kind, text("general.type"));
  if (kind != "adapter") {
    return invalid_argument(
        fmt::format("{} is no adapter: general.type is '{}'", file.path(), io::printable(kind)),
        "an adapter is a folder that PEFT saved, or what llama.cpp's convert_lora_to_gguf.py makes "
        "of one");
  }
  PARING_TRY(const std::string adapter, text("adapter.type"));
  if (adapter != "lora") {
    return unsupported(fmt::format("{}: adapter.type is '{}'", file.path(), io::printable(adapter)),
                       "only 'lora' is computed");
  }
  PARING_TRY(const std::string architecture, text("general.architecture"));
  if (architecture != spec.architecture) {
    return invalid_argument(
        fmt::format("{} is an adapter for architecture '{}', the model's is '{}'", file.path(),
                    io::printable(architecture), spec.architecture),
        "an adapter fits the model that it was trained on");
  }
  return {};
}

// alpha of a GGUF file; none, or 0, means that no rank divides.
Result<std::optional<float>> read_alpha(const io::ModelFile& file) {
  if (!file.metadata().has("adapter.lora.alpha")) return std::optional<float>();
  PARING_TRY(const double alpha, file.metadata().get_f64("adapter.lora.alpha"));
  if (!std::isfinite(static_cast<float>(alpha))) {
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

struct PairTensors {
  const io::TensorInfo* down = nullptr;
  const io::TensorInfo* up = nullptr;
};

// Both tensors of each matrix, by the matrix's place in the model.
Result<std::map<std::size_t, PairTensors>> find_pairs(const io::ModelFile& file,
                                                      std::span<const MatrixSlot> slots) {
  std::unordered_map<std::string_view, std::size_t> places;
  for (std::size_t i = 0; i < slots.size(); ++i) places.emplace(slots[i].name, i);
  std::map<std::size_t, PairTensors> pairs;
  for (const io::TensorInfo& tensor : file.tensors()) {
    const std::string_view name = tensor.name;
    const bool is_down = name.ends_with(kDownSuffix);
    if (!is_down && !name.ends_with(kUpSuffix)) {
      return unsupported(fmt::format("{}: tensor '{}' is neither A nor B of a LoRA adapter",
                                     file.path(), io::printable(name)),
                         "only tensors that end in .lora_a or .lora_b are computed");
    }
    const auto place = places.find(name.substr(0, name.size() - kDownSuffix.size()));
    if (place == places.end()) {
      return wrong_tensor(file, name, "is for a matrix that the model does not have");
    }
    if (!is_adaptable(slots[place->second].id.kind)) {
      return unsupported(fmt::format("{}: tensor '{}' adapts an embedding, a head or experts",
                                     file.path(), io::printable(name)),
                         "adapters of attention and feed-forward matrices are computed");
    }
    PairTensors& pair = pairs[place->second];
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

// scale_of(name of the matrix, rank): what the file itself multiplies B A with.
template <typename ScaleOf>
Result<std::vector<AdapterFile::Pair>> read_pairs(const io::ModelFile& file, const BlockSpec& spec,
                                                  const ScaleOf& scale_of) {
  const std::vector<MatrixSlot> slots = matrix_slots(spec);
  PARING_TRY(const auto found, find_pairs(file, slots));
  std::vector<AdapterFile::Pair> pairs;
  for (const auto& [matrix, tensors] : found) {
    PARING_TRY_VOID(check_shapes(file, slots[matrix], tensors));
    pairs.push_back(
        {matrix, tensors.down, tensors.up, scale_of(slots[matrix].name, tensors.down->rows())});
  }
  return pairs;
}

}  // namespace

AdapterFile::AdapterFile(io::ModelFile file, std::vector<Pair> pairs)
    : file_(std::move(file)), pairs_(std::move(pairs)) {
  std::uint64_t largest = 0;  // as plain values, before they are packed
  for (const Pair& pair : pairs_) {
    rank_max_ = std::max<std::size_t>(rank_max_, pair.down->rows());
    for (const io::TensorInfo* tensor : {pair.down, pair.up}) {
      memory_bytes_ +=
          kernels::packed_bytes(DType::kF32, tensor->rows(), tensor->columns()).value();
      largest = std::max<std::uint64_t>(largest, tensor->values() * sizeof(float));
    }
  }
  memory_bytes_ += largest;
}

Result<AdapterFile> AdapterFile::open(const std::string& path, const BlockSpec& spec) {
  if (spec.encoder) {
    return unsupported(fmt::format("{}: the model is an encoder ({})", path, spec.architecture),
                       "adapters of decoders are computed");
  }
  std::error_code failed;
  if (std::filesystem::is_directory(path, failed)) {
    PARING_TRY(io::PeftFolder folder, io::PeftFolder::open(path));
    PARING_TRY(PeftAdapter adapter, translate_peft(std::move(folder), spec));
    io::ModelFile file(std::move(adapter.parts));
    PARING_TRY(std::vector<Pair> pairs,
               read_pairs(file, spec, [&](const std::string& name, std::uint64_t) {
                 return adapter.scales.at(name);
               }));
    return AdapterFile(std::move(file), std::move(pairs));
  }
  PARING_TRY(io::ModelFile file, io::ModelFile::open_gguf(path));
  PARING_TRY_VOID(check_kind(file, spec));
  PARING_TRY(const std::optional<float> alpha, read_alpha(file));
  PARING_TRY(std::vector<Pair> pairs,
             read_pairs(file, spec, [&](const std::string&, std::uint64_t rank) {
               return alpha ? *alpha / static_cast<float>(rank) : 1.0F;
             }));
  return AdapterFile(std::move(file), std::move(pairs));
}

}  // namespace paring::model
