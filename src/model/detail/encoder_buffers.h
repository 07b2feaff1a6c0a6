// SPDX-License-Identifier: Apache-2.0
// The working memory of an encoder's step: one allocation, cut into aligned pieces. Private to
// encoder.cc.
#pragma once

#include <cstddef>

#include "base/aligned.h"
#include "kernels/ops.h"
#include "model/block_spec.h"

namespace paring::model {

// Tokens of one text whose queries attend together.
inline constexpr std::size_t kEncoderTileTokens = 32;

// T: tokens of a step; L: tokens of the longest text.
struct EncoderBuffers {
  AlignedBuffer memory;
  float* x;                       // [T, D] states
  float* qkv;                     // [T, 3 D]: queries, keys, values
  float* attended;                // [T, D]
  float* inner;                   // [T, F] feed-forward values
  float* delta;                   // [T, D] output of a half before it joins the states
  kernels::QuantizedRows narrow;  // [T, D]: inputs of q, k, v, of the attention output, of up
  kernels::QuantizedRows wide;    // [T, F]: inputs of down
  // Per worker: the keys and values of one head of one text [L / 32 pages], and what the attention
  // kernel needs.
  std::byte* pages;
  std::size_t pages_stride;
  std::byte* scratch;
  std::size_t scratch_stride;

  // Places every piece from `base` on; with a null base it only counts. Returns the bytes.
  std::size_t lay_out(const BlockSpec& spec, std::size_t tokens, std::size_t threads,
                      std::byte* base);
};

}  // namespace paring::model
