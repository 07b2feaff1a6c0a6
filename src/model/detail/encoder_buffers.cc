// SPDX-License-Identifier: Apache-2.0
#include "model/detail/encoder_buffers.h"

#include <algorithm>

#include "model/detail/arena.h"

namespace paring::model {

using detail::Arena;
using detail::round_up;

std::size_t EncoderBuffers::lay_out(const BlockSpec& spec, std::size_t tokens, std::size_t threads,
                                    std::byte* base) {
  Arena arena(base);
  x = arena.take<float>(tokens * spec.width);
  qkv = arena.take<float>(tokens * spec.qkv_width());
  attended = arena.take<float>(tokens * spec.query_width());
  inner = arena.take<float>(tokens * spec.ffn_width);
  delta = arena.take<float>(tokens * spec.width);
  narrow = arena.take_quantized(tokens, std::max(spec.width, spec.query_width()));
  wide = arena.take_quantized(tokens, spec.ffn_width);
  const std::size_t longest = std::min(tokens, spec.context_max);
  const std::size_t page_count = round_up(longest, kernels::kPageTokens) / kernels::kPageTokens;
  pages_stride = page_count * kernels::kv_page_bytes(kernels::KvType::kF32, spec.head_width);
  pages = arena.take<std::byte>(pages_stride * threads);
  scratch_stride =
      round_up(kernels::attention_scratch_bytes(kEncoderTileTokens, spec.head_width), 64);
  scratch = arena.take<std::byte>(scratch_stride * threads);
  return arena.used();
}

}  // namespace paring::model
