// SPDX-License-Identifier: Apache-2.0
#include "model/lora.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "io/printable.h"
#include "model/vectors.h"

namespace paring::model {

namespace {

// The tensor as F32 panels, each value times `own * scale`: what the file says, and the user.
Result<kernels::PackedMatrix> read_matrix(const AdapterFile& adapter, const io::TensorInfo& tensor,
                                          float own, float scale) {
  PARING_TRY(std::vector<float> values, load_values(adapter.file(), tensor));
  adapter.file().release(tensor);
  for (float& value : values) {
    value *= own * scale;
    if (!std::isfinite(value)) {
      return invalid_argument(
          fmt::format(
              "{}: values of tensor '{}' times {:g} (alpha / rank) times the scale {:g} are "
              "infinite",
              adapter.path(), io::printable(tensor.name), own, scale),
          "take a smaller scale; 1 is as the adapter was trained");
    }
  }
  return kernels::pack(DType::kF32, reinterpret_cast<const std::byte*>(values.data()),
                       tensor.rows(), tensor.columns());
}

}  // namespace

Result<std::shared_ptr<const Lora>> Lora::load(const AdapterFile& file, const Model& model,
                                               float scale) {
  if (!std::isfinite(scale)) {
    return invalid_argument(
        fmt::format("{}: the scale of an adapter is {:g}, it must be a finite "
                    "number",
                    file.path(), scale));
  }
  std::vector<std::unique_ptr<LoraPair>> loaded(model.matrix_count());
  for (const AdapterFile::Pair& pair : file.pairs()) {
    const MatrixSlot& slot = model.slot(pair.matrix);
    PARING_CHECK(slot.cols == pair.down->columns() && slot.rows == pair.up->rows(),
                 "the adapter was opened for this model");
    auto both = std::make_unique<LoraPair>();
    PARING_TRY(both->down, read_matrix(file, *pair.down, 1.0F, 1.0F));
    PARING_TRY(both->up, read_matrix(file, *pair.up, pair.scale, scale));
    loaded[pair.matrix] = std::move(both);
  }
  PARING_TRY_VOID(file.file().check_unchanged());
  std::shared_ptr<Lora> lora = make(std::move(loaded));
  lora->path_ = file.path();
  lora->scale_ = scale;
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
