// SPDX-License-Identifier: Apache-2.0
// Seeing activations by name while a step runs: for statistics, sensitivity, training and tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/executor.h"
#include "model/weights.h"

namespace paring::model {

// Activations a tap may see, [T, width] f32, row t = token t of the batch in segment order.
enum class TapSite : std::uint8_t {
  kLayerInput,       // [T, D] residual stream entering a layer
  kAttentionInput,   // [T, D] normed: input of q, k, v
  kAttentionOutput,  // [T, H*d] heads concatenated: input of the attention output matrix
  kFfnInput,         // [T, D] normed: input of gate and up
  kFfnProduct,       // [T, F] activation(gate)*up: input of down
  kHeadInput,        // [R, D] final norm of the rows that want logits: input of the head
  // Of experts, seen by observe_experts() alone:
  kExpertInput,    // [T, D] normed: input of gate and up; that of the router is kFfnInput
  kExpertProduct,  // [T * used, F] activation(gate)*up: input of down
};

// The rows that each expert of a layer multiplies: expert e rows row(begins[e]), ...,
// row(begins[e + 1] - 1) of `data`, of `width` values each.
struct ExpertRows {
  const float* data;
  std::size_t width;
  std::span<const std::uint32_t> rows;  // empty: in order
  std::span<const std::size_t> begins;  // [E + 1]
  std::size_t row(std::size_t i) const { return rows.empty() ? i : rows[i]; }
};

// Where the rows of activations that a matrix multiplies can be seen.
TapSite input_site(MatrixKind kind) noexcept;

class Taps {
 public:
  virtual ~Taps() = default;
  virtual bool wants(TapSite site) const = 0;
  // Called on worker 0 while the others wait. `data` is valid during the call.
  virtual void observe(TapSite site, std::size_t layer, const float* data, std::size_t rows,
                       std::size_t width) = 0;
  // Called on every worker at once, for taps that share out their work; allocates nothing, and may
  // use worker.barrier().
  virtual void observe_together(Worker& worker, TapSite site, std::size_t layer, const float* data,
                                std::size_t rows, std::size_t width) {
    if (worker.is_first()) observe(site, layer, data, rows, width);
  }
  // The same for kExpertInput and kExpertProduct. REQUIRES: overridden by who wants these sites.
  virtual void observe_experts(Worker& worker, TapSite site, std::size_t layer,
                               const ExpertRows& rows);
};

}  // namespace paring::model
