// SPDX-License-Identifier: Apache-2.0
// BlockSpec: an architecture as data, of a decoder or, with `encoder`, of an encoder. arch/*.cc
// translate a file's metadata into it; the forward passes (forward.h, encoder.h) are written once
// over it and know no architecture names. Plain data,
// thread-compatible.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/encoder_spec.h"

namespace paring::model {

// How rotary position embedding pairs the values of a head (arXiv:2104.09864, sec. 3.4).
enum class RopePairing : std::uint8_t {
  kAdjacent,  // (0,1), (2,3), ...: GGUF's llama layout
  kHalves,    // (0, D/2), (1, D/2+1), ...: Hugging Face's layout, GGUF's Qwen, Gemma and Phi
};

// How the angles of rotary embedding are stretched to contexts beyond those of the first training.
enum class RopeScaling : std::uint8_t {
  kNone,
  kLinear,    // position / factor (arXiv:2306.15595)
  kYarn,      // per pair between position and position / factor (arXiv:2309.00071, sec. 3.2)
  kLongRope,  // frequencies divided by factors of their own for long contexts (arXiv:2402.13753)
};

// One kind of rotary embedding; layers choose among BlockSpec::ropes.
struct RopeSpec {
  float base = 10000.0F;
  std::size_t width = 0;  // leading values of a head that are rotated, even
  RopePairing pairing = RopePairing::kAdjacent;
  RopeScaling scaling = RopeScaling::kNone;
  float factor = 1.0F;  // kLinear, kYarn
  // Rotated vectors are multiplied by this: YaRN's temperature, LongRoPE's attention factor.
  float magnitude = 1.0F;
  // kYarn: pairs that turn more than beta_fast times in original_context keep their frequency,
  // pairs that turn less than beta_slow times are stretched by the whole factor.
  float beta_fast = 32.0F;
  float beta_slow = 1.0F;
  std::size_t original_context = 0;  // positions of the first training; kYarn, kLongRope
  // Divisors of the frequencies, [width / 2] or empty: Llama 3's rope_freqs, LongRoPE's short
  // factors, and LongRoPE's factors for contexts above original_context.
  std::vector<float> divisors;
  std::vector<float> long_divisors;
};

enum class GateActivation : std::uint8_t {
  kSilu,      // silu(gate) * up (arXiv:2002.05202)
  kGeluTanh,  // gelu(gate) * up with the tanh approximation (arXiv:1606.08415, sec. 2)
};

// What a layer attends to and how positions enter it.
struct LayerScope {
  std::size_t window = 0;  // positions that a token sees, itself included; 0: all up to itself
  std::size_t rope = 0;    // index into BlockSpec::ropes
  friend bool operator==(const LayerScope&, const LayerScope&) = default;
};

// Tokens of one sequence that see `first`, first + 1, ..., `last` positions, themselves included.
// REQUIRES: 1 <= first <= last.
struct PositionRange {
  double first = 1;
  double last = 1;
  // Mean number of positions that they see through a window; 0: no window.
  double mean_visible(std::size_t window) const {
    const auto limit = static_cast<double>(window);
    if (window == 0 || last <= limit) return (first + last) / 2;
    if (first >= limit) return limit;
    const double below = limit - first + 1;  // tokens whose window is not yet over-full
    return (below * (first + limit) / 2 + (last - limit) * limit) / (last - first + 1);
  }
};

// What a router's scores become as weights of the chosen experts.
enum class ExpertScores : std::uint8_t {
  kSoftmaxOfAll,     // probabilities among all experts, before the choice
  kSoftmaxOfChosen,  // among the chosen alone
};

// A mixture of experts (arXiv:1701.06538, arXiv:2401.04088) in place of the one feed-forward half:
// a router scores all of them for each token, and the outputs of the best `used` are added, each
// times its weight. Of equal scores the expert with the lower number is chosen.
struct ExpertSpec {
  std::size_t count = 0;  // E; 0 < used <= count
  std::size_t used = 0;   // of a token
  ExpertScores scores = ExpertScores::kSoftmaxOfAll;
  bool is_renormalized = true;  // the weights of a token are divided by their sum

  // Share of the experts that some token of a step of `tokens` uses, were all as likely.
  double read_share(double tokens) const {
    return 1 - std::pow(1 - static_cast<double>(used) / static_cast<double>(count), tokens);
  }
};

struct BlockSpec {
  std::string architecture;  // as the file names it
  std::size_t layers = 0;
  std::size_t width = 0;       // D, residual stream
  std::size_t ffn_width = 0;   // F; of each expert where there are experts
  std::size_t heads = 0;       // query heads
  std::size_t kv_heads = 0;    // key/value heads; heads % kv_heads == 0
  std::size_t head_width = 0;  // multiple of 32
  std::size_t vocabulary = 0;
  std::size_t context_max = 0;  // positions the model was trained for

  // Norms are RMSNorm (arXiv:1910.07467), before each half of a block and before the head.
  float norm_epsilon = 1e-5F;
  bool has_post_norms = false;  // also on the output of each half, before it joins the residual
  bool has_head_norms = false;  // also on each query and key head, before rotation
  bool has_qkv_biases = false;  // required; other biases are used where the file has them
  bool has_fused_qkv = false;   // q, k and v are one matrix [(H + 2 Hkv) d, D]
  bool has_fused_gate = false;  // gate and up are one matrix [2 F, D], gate first
  bool tied_head = false;       // the output matrix is the embedding
  GateActivation activation = GateActivation::kSilu;

  float embedding_scale = 1.0F;     // embeddings are multiplied by this
  float query_scale = 0.0F;         // scores are multiplied by this; 0: 1 / sqrt(head_width)
  float attention_soft_cap = 0.0F;  // c > 0: score -> c tanh(score / c)
  float logit_soft_cap = 0.0F;      // c > 0: logit -> c tanh(logit / c)

  std::vector<RopeSpec> ropes = {RopeSpec{}};  // at least one
  std::vector<LayerScope> scopes;              // [layers]; empty: all alike, LayerScope{}

  // In every layer. F and D are multiples of a panel's rows (kernels/packed_matrix.h) then, and
  // there are no post-norms.
  std::optional<ExpertSpec> experts;

  // An encoder: no cache, no head, no rotary positions. Of the fields above layers, widths, heads
  // (kv_heads = heads), vocabulary, context_max and norm_epsilon count.
  std::optional<EncoderSpec> encoder;

  std::size_t query_width() const { return heads * head_width; }
  std::size_t kv_width() const { return kv_heads * head_width; }
  std::size_t qkv_width() const { return query_width() + 2 * kv_width(); }
  std::size_t group() const { return heads / kv_heads; }  // query heads that share a KV head
  std::size_t windowed_layers() const {
    std::size_t count = 0;
    for (const LayerScope& each : scopes) count += each.window != 0 ? 1U : 0U;
    return count;
  }
  LayerScope scope(std::size_t layer) const {
    return scopes.empty() ? LayerScope{} : scopes[layer];
  }
  float score_scale() const {
    if (query_scale != 0.0F) return query_scale;
    return static_cast<float>(1.0 / std::sqrt(static_cast<double>(head_width)));
  }
};

}  // namespace paring::model
