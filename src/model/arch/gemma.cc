// SPDX-License-Identifier: Apache-2.0
#include "model/arch/gemma.h"

#include <fmt/format.h>

#include <cmath>
#include <string>

namespace paring::model {

Result<BlockSpec> read_gemma(const HyperParameters& parameters, std::size_t wide_layers) {
  PARING_TRY(BlockSpec spec, read_decoder(parameters, RopePairing::kHalves));
  spec.has_post_norms = true;
  spec.activation = GateActivation::kGeluTanh;
  spec.embedding_scale = std::sqrt(static_cast<float>(spec.width));
  if (spec.layers == wide_layers) {
    spec.query_scale = 1.0F / std::sqrt(static_cast<float>(spec.width / spec.heads));
  }
  return spec;
}

namespace {

// What query_pre_attn_scalar must be: scores are divided by its root.
Result<double> score_divisor(const io::Metadata& metadata, const std::string& architecture,
                             std::size_t wide_layers) {
  PARING_TRY(const std::uint64_t layers, metadata.get_u64(architecture + ".block_count"));
  PARING_TRY(const std::uint64_t width, metadata.get_u64(architecture + ".embedding_length"));
  PARING_TRY(const std::uint64_t heads, metadata.get_u64(architecture + ".attention.head_count"));
  const std::uint64_t share = heads == 0 ? 0 : width / heads;
  if (layers == wide_layers) return static_cast<double>(share);
  PARING_TRY(const std::uint64_t head_width,
             metadata.u64_or(architecture + ".attention.key_length", share));
  return static_cast<double>(head_width);
}

}  // namespace

Result<void> check_score_scale(const io::Metadata& config, const io::Metadata& metadata,
                               const char* architecture, std::size_t wide_layers) {
  PARING_TRY(const double needed, score_divisor(metadata, architecture, wide_layers));
  PARING_TRY(const double written, config.f64_or("query_pre_attn_scalar", needed));
  if (written == needed) return {};
  return unsupported(
      fmt::format("{}: 'query_pre_attn_scalar' is {:g}, models of this shape are "
                  "computed with {:g}",
                  config.source(), written, needed));
}

Result<void> export_score_scale(const io::Metadata& metadata, io::Metadata& config,
                                const char* architecture, std::size_t wide_layers) {
  PARING_TRY(const double divisor, score_divisor(metadata, architecture, wide_layers));
  // A whole number (see score_divisor): transformers refuses 256.0.
  config.set("query_pre_attn_scalar", io::GgufValue::of_u64(static_cast<std::uint64_t>(divisor)));
  return {};
}

}  // namespace paring::model
