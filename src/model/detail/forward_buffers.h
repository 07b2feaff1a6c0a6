// SPDX-License-Identifier: Apache-2.0
// The working memory of a step: one allocation, cut into aligned pieces. Private to forward.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/aligned.h"
#include "kernels/ops.h"
#include "model/block_spec.h"

namespace paring::model {

// Tokens of one segment whose queries attend together: a page is decoded once for all of them.
inline constexpr std::size_t kAttentionTileTokens = 16;
// Steps of more tokens are not divided by spans (attention_step.h): their tiles suffice.
inline constexpr std::size_t kDividedTokensMax = 32;

struct ForwardShape;

// Of a step of so few tokens every worker makes its own copy of the rows that products read, which
// saves the barriers of sharing them: six a layer are left.
inline constexpr std::size_t kOwnRowsMax = 4;

// Matrices that read the same rows: queries, keys, values.
inline constexpr std::size_t kLoraReaders = 3;

// Rows that matrices are multiplied with; T: tokens of a step, R: rows of logits at a time.
struct RowBuffers {
  float* x;                       // [T, D] residual stream
  float* normed;                  // [T, D]
  float* attended;                // [T, H*d]
  float* head_in;                 // [R, D]
  kernels::QuantizedRows narrow;  // [T, D]: inputs of qkv, gate/up, head
  kernels::QuantizedRows heads;   // [T, H*d]
  kernels::QuantizedRows wide;    // [T, F]
};

// Rows of one expert that are multiplied together; more take another pass over its weights.
inline constexpr std::size_t kExpertRowsMax = 256;

// Which experts tokens use, [tokens * used]; the experts of a token ascend.
struct ExpertChoice {
  std::uint32_t* experts;
  float* weights;
};

// What a worker keeps of the layer at hand, and the rows of one expert; R: kExpertRowsMax at most.
struct ExpertWorkerBuffers {
  ExpertChoice choice;            // of kOwnRowsMax tokens
  std::size_t* begins;            // [E + 1] in the order by experts
  std::uint32_t* tokens;          // [T * used] of the order by experts
  std::uint32_t* places;          // [T * used] in it, of each token's choices
  float* gathered;                // [R, D]
  kernels::QuantizedRows narrow;  // [R, D]
  kernels::QuantizedRows wide;    // [R, F]
};

// Rows of products are in the order by experts, within an expert by tokens.
struct ExpertBuffers {
  float* scores;                         // [T, E]
  ExpertChoice choice;                   // of all tokens
  float* out;                            // [T * used, D]
  std::vector<ExpertWorkerBuffers> own;  // by worker
};

struct ForwardBuffers {
  AlignedBuffer memory;
  RowBuffers shared;
  std::vector<RowBuffers> own;  // by worker, T = R = kOwnRowsMax
  float* qkv;                   // [T, (H + 2 Hkv)*d]: queries, keys, values
  // F1: rows of the feed-forward half, T; T * used with experts.
  float* gate;              // [F1, F]; of a fused matrix [T, 2 F]: gate, up
  float* up;                // [F1, F]; of a fused matrix gate + F
  std::size_t gate_stride;  // between rows of both
  float* product;           // [F1, F]
  ExpertBuffers experts;
  float* delta;        // [T, D] output of a half before it joins the residual stream
  float* logits;       // [R, V]
  std::byte* scratch;  // per worker
  std::size_t scratch_stride;
  // States of attention by spans, [tokens][H][spans_max] of part_stride floats each.
  float* parts;
  std::size_t spans_max;  // 0: attention is never divided
  std::size_t part_stride;
  // Of adapters: A x of kLoraReaders matrices [kLoraReaders, T, rank], and B A x
  // [kLoraReaders, T, width].
  std::size_t lora_rank;
  std::size_t lora_width;
  float* lora_low;
  float* lora_out;

  // Places every piece from `base` on; with a null base it only counts. Returns the bytes.
  std::size_t lay_out(const BlockSpec& spec, const ForwardShape& shape, std::size_t threads,
                      std::byte* base);
};

}  // namespace paring::model
