// SPDX-License-Identifier: Apache-2.0
#include "engine/token_work.h"

#include "model/kv_cache.h"
#include "model/product.h"

namespace paring::engine {

namespace {

// What its slot makes of a matrix of these rows.
MatrixLoad load_of(const model::MatrixSlot& slot, const model::BlockSpec& spec, DType type,
                   double bytes, double rows) {
  MatrixLoad load;
  load.type = type;
  load.values = static_cast<double>(slot.rows) * static_cast<double>(slot.cols);
  const bool is_embedding = slot.id.kind == model::MatrixKind::kEmbedding;
  load.is_head = slot.id.kind == model::MatrixKind::kHead || is_embedding;
  load.is_gathered = is_embedding && !spec.tied_head;
  load.bytes = load.is_gathered ? bytes / rows : bytes;
  load.is_of_experts = slot.experts != 0;
  return load;
}

void add_routers(const model::BlockSpec& spec, std::vector<MatrixLoad>& loads) {
  if (!spec.experts) return;
  MatrixLoad router;
  router.values = static_cast<double>(spec.experts->count) * static_cast<double>(spec.width);
  router.bytes = router.values * sizeof(float);
  loads.insert(loads.end(), spec.layers, router);
}

}  // namespace

std::vector<MatrixLoad> matrix_loads(const model::ModelView& view) {
  std::vector<MatrixLoad> loads;
  for (std::size_t i = 0; i < view.model().matrix_count(); ++i) {
    const kernels::PackedMatrix& matrix = view.matrix(i);
    loads.push_back(load_of(view.model().slot(i), view.spec(), matrix.type,
                            static_cast<double>(matrix.bytes()),
                            static_cast<double>(matrix.padded_rows)));
  }
  add_routers(view.spec(), loads);
  return loads;
}

std::vector<MatrixLoad> matrix_loads(const io::ModelFile& file, const model::BlockSpec& spec) {
  std::vector<MatrixLoad> loads;
  for (const model::MatrixSlot& slot : model::matrix_slots(spec)) {
    const io::TensorInfo* tensor = file.find(slot.name);
    if (tensor == nullptr) continue;
    loads.push_back(load_of(slot, spec, tensor->type, static_cast<double>(tensor->bytes),
                            static_cast<double>(tensor->rows())));
  }
  add_routers(spec, loads);
  return loads;
}

namespace {

// The sum that products of a matrix with `rows` rows belong to.
double& operations_of(DType type, double rows, model::Numerics numerics, cost::TokenWork& work) {
  switch (model::product_of(type, static_cast<std::size_t>(rows), numerics, kernels::kernels())) {
    case model::Product::kCodes:
      return work.int8_operations;
    case model::Product::kRounded:
      return work.bf16_operations;
    case model::Product::kFloats:
      break;
  }
  return work.f32_operations;
}

}  // namespace

TokenOperations token_operations(const model::BlockSpec& spec,
                                 const model::PositionRange& range) noexcept {
  const auto width = static_cast<double>(spec.width);
  const auto query = static_cast<double>(spec.query_width());
  const auto kv = static_cast<double>(spec.kv_width());
  const auto ffn = static_cast<double>(spec.ffn_width);
  const auto layers = static_cast<double>(spec.layers);
  TokenOperations operations;
  // q, attention output; k, v; gate, up, down, of which an encoder has no gate.
  double ffn_matrices = spec.encoder ? 2 : 3;
  if (spec.experts) {
    ffn_matrices *= static_cast<double>(spec.experts->used);
    operations.matrices = 2 * layers * width * static_cast<double>(spec.experts->count);  // routers
  }
  operations.matrices +=
      2 * layers * (2 * width * query + 2 * width * kv + ffn_matrices * width * ffn);
  if (!spec.encoder) operations.head = 2 * width * static_cast<double>(spec.vocabulary);
  // A score and a weighted value: one multiply-add each for every value of every query head.
  for (std::size_t layer = 0; layer < spec.layers; ++layer) {
    // An encoder's tokens see the whole text.
    const double visible = spec.encoder ? range.last : range.mean_visible(spec.scope(layer).window);
    operations.attention += 2 * 2 * query * visible;
  }
  return operations;
}

cost::TokenWork token_work(const std::vector<MatrixLoad>& loads, const model::BlockSpec& spec,
                           const WorkShape& shape) {
  cost::TokenWork work;
  for (const MatrixLoad& load : loads) {
    const model::ExpertSpec* experts = load.is_of_experts ? &*spec.experts : nullptr;
    work.weight_bytes +=
        load.bytes * (experts == nullptr ? 1 : experts->read_share(shape.step_tokens));
    if (load.is_gathered) continue;
    const model::Numerics numerics =
        load.is_head ? model::head_numerics(shape.numerics) : shape.numerics;
    operations_of(load.type, shape.step_tokens, numerics, work) +=
        2 * load.values * (load.is_head ? shape.head_share : 1) *
        (experts == nullptr ? 1 : experts->read_share(1));
  }
  work.kv_bytes = model::KvPool::bytes_read(spec, shape.kv_type, shape.range);
  work.f32_operations += token_operations(spec, shape.range).attention;
  return work;
}

}  // namespace paring::engine
