// SPDX-License-Identifier: Apache-2.0
#include "model/arch/hyper_parameters.h"

#include <fmt/format.h>

#include <cmath>
#include <variant>
#include <vector>

#include "kernels/packed_matrix.h"
#include "model/architecture.h"
#include "model/experts.h"

namespace paring::model {

std::string HyperParameters::key(std::string_view suffix) const {
  return fmt::format("{}.{}", architecture_, suffix);
}

Result<std::size_t> HyperParameters::size(std::string_view suffix, std::uint64_t limit) const {
  PARING_TRY(const std::uint64_t value, metadata_.get_u64(key(suffix)));
  if (value == 0 || value > limit) {
    return corrupt(fmt::format("{} is {}, it must be between 1 and {}", key(suffix), value, limit));
  }
  return static_cast<std::size_t>(value);
}

Result<std::size_t> HyperParameters::size_or(std::string_view suffix, std::uint64_t limit,
                                             std::size_t otherwise) const {
  return has(suffix) ? size(suffix, limit) : Result<std::size_t>(otherwise);
}

Result<float> HyperParameters::real(std::string_view suffix, double least, double most) const {
  PARING_TRY(const double value, metadata_.get_f64(key(suffix)));
  if (!(value >= least && value <= most)) {
    return corrupt(fmt::format("{} is {:g}, it must be between {:g} and {:g}", key(suffix), value,
                               least, most));
  }
  return static_cast<float>(value);
}

Result<float> HyperParameters::real_or(std::string_view suffix, double least, double most,
                                       float otherwise) const {
  return has(suffix) ? real(suffix, least, most) : Result<float>(otherwise);
}

namespace {

// Bounds of rotary parameters: beyond any real model, and small enough that no angle is lost.
constexpr double kRopeBaseMax = 1e12;
constexpr double kRopeFactorMax = 1e6;
constexpr double kMagnitudeMax = 1e3;

// Keys whose value, when not zero, asks for something that the forward pass does not compute.
constexpr const char* kUnsupportedKeys[] = {
    "attention.clamp_kqv",
    "attention.max_alibi_bias",
    "attention.temperature_scale",
    "rope.scaling.alpha",
    "residual_scale",
    "attention.scale",
    "embedding_scale",
    "logit_scale",
};

// The same of a mixture of experts; 1 is harmless too where it stands for a factor or a period.
constexpr const char* kUnsupportedExpertKeys[] = {
    "expert_shared_count",
    "expert_shared_feed_forward_length",
    "leading_dense_block_count",
    "expert_latent_length",
};
constexpr const char* kUnsupportedExpertFactors[] = {
    "expert_weights_scale",      "expert_group_count", "expert_group_used_count",
    "interleave_moe_layer_step", "moe_every_n_layers",
};

Result<void> refuse_other_than(const HyperParameters& p, const char* suffix, double harmless) {
  if (!p.has(suffix)) return {};
  PARING_TRY(const double value, p.metadata().get_f64(p.key(suffix)));
  if (value == 0 || value == harmless) return {};
  return unsupported(fmt::format("{} = {:g} is not supported", p.key(suffix), value));
}

Result<void> check_supported(const HyperParameters& p) {
  for (const char* suffix : kUnsupportedKeys) PARING_TRY_VOID(refuse_other_than(p, suffix, 0));
  PARING_TRY(const bool causal, p.metadata().bool_or(p.key("attention.causal"), true));
  if (!causal) return unsupported(p.key("attention.causal") + " = false is not supported");
  return {};
}

Result<void> read_heads(const HyperParameters& p, BlockSpec& spec) {
  PARING_TRY(spec.heads, p.size("attention.head_count", kHeadsMax));
  PARING_TRY(spec.kv_heads, p.size_or("attention.head_count_kv", kHeadsMax, spec.heads));
  if (spec.heads % spec.kv_heads != 0) {
    return corrupt(fmt::format("{} {} is not a multiple of head_count_kv {}",
                               p.key("attention.head_count"), spec.heads, spec.kv_heads));
  }
  if (p.has("attention.key_length")) {
    PARING_TRY(spec.head_width, p.size("attention.key_length", kWidthMax));
  } else {
    if (spec.width % spec.heads != 0) {
      return corrupt(fmt::format("{} {} is not a multiple of head_count {}",
                                 p.key("embedding_length"), spec.width, spec.heads));
    }
    spec.head_width = spec.width / spec.heads;
  }
  if (spec.head_width % 32 != 0) {
    return unsupported(fmt::format("a head width of {} is not a multiple of 32", spec.head_width));
  }
  PARING_TRY(const std::size_t value_width,
             p.size_or("attention.value_length", kWidthMax, spec.head_width));
  if (value_width != spec.head_width) {
    return unsupported(fmt::format("{} {} differs from the key width {}",
                                   p.key("attention.value_length"), value_width, spec.head_width));
  }
  if (spec.query_width() > kWidthMax) {
    return corrupt(fmt::format("{} heads of {} values are over the limit of {} values", spec.heads,
                               spec.head_width, kWidthMax));
  }
  return {};
}

// YaRN's temperature (arXiv:2309.00071, eq. 22) for vectors that are both multiplied by it.
double yarn_magnitude(double factor, double multiplier) {
  return factor <= 1 ? 1.0 : 0.1 * multiplier * std::log(factor) + 1.0;
}

Result<void> read_yarn(const HyperParameters& p, RopeSpec& rope) {
  rope.scaling = RopeScaling::kYarn;
  PARING_TRY(rope.factor, p.real("rope.scaling.factor", 1, kRopeFactorMax));
  PARING_TRY(rope.beta_fast, p.real_or("rope.scaling.yarn_beta_fast", 1e-3, 1e6, rope.beta_fast));
  PARING_TRY(rope.beta_slow, p.real_or("rope.scaling.yarn_beta_slow", 1e-3, 1e6, rope.beta_slow));
  if (rope.beta_slow > rope.beta_fast) {
    return corrupt(fmt::format("{} {:g} is above yarn_beta_fast {:g}",
                               p.key("rope.scaling.yarn_beta_slow"), rope.beta_slow,
                               rope.beta_fast));
  }
  PARING_TRY(const float extrapolation, p.real_or("rope.scaling.yarn_ext_factor", -1, 1, 1.0F));
  if (extrapolation >= 0 && extrapolation != 1) {  // negative: not set
    return unsupported(fmt::format("{} = {:g} is not supported",
                                   p.key("rope.scaling.yarn_ext_factor"), extrapolation));
  }
  const auto factor = static_cast<double>(rope.factor);
  PARING_TRY(const float multiplier,
             p.real_or("rope.scaling.yarn_log_multiplier", 0, kMagnitudeMax, 0.0F));
  double magnitude = yarn_magnitude(factor, 1);
  if (multiplier != 0) magnitude /= yarn_magnitude(factor, static_cast<double>(multiplier));
  // The model's own value, where it has one, stands for the formula's.
  PARING_TRY(rope.magnitude, p.real_or("rope.scaling.yarn_attn_factor", 1e-6, kMagnitudeMax,
                                       static_cast<float>(magnitude)));
  return {};
}

Result<void> read_rope_scaling(const HyperParameters& p, RopeSpec& rope) {
  PARING_TRY(const std::string type, p.metadata().string_or(p.key("rope.scaling.type"), "linear"));
  if (type == "linear") {
    // "rope.scale_linear" is the name that files of 2023 have.
    for (const char* suffix : {"rope.scaling.factor", "rope.scale_linear"}) {
      if (!p.has(suffix)) continue;
      PARING_TRY(const double written, p.metadata().get_f64(p.key(suffix)));
      if (written == 0) break;  // writers say so when there is no scaling
      PARING_TRY(rope.factor, p.real(suffix, 1.0 / kRopeFactorMax, kRopeFactorMax));
      if (rope.factor != 1) rope.scaling = RopeScaling::kLinear;
      break;
    }
  } else if (type == "yarn") {
    PARING_TRY_VOID(read_yarn(p, rope));
  } else if (type == "longrope") {
    rope.scaling = RopeScaling::kLongRope;
  } else if (type != "none") {
    return unsupported(fmt::format("{} = '{}' is not supported", p.key("rope.scaling.type"), type),
                       "known: none, linear, yarn, longrope");
  }
  PARING_TRY(const float attention,
             p.real_or("rope.scaling.attn_factor", 1e-6, kMagnitudeMax, 1.0F));
  rope.magnitude *= attention;
  return {};
}

Result<RopeSpec> read_rope(const HyperParameters& p, const BlockSpec& spec, RopePairing pairing) {
  RopeSpec rope;
  rope.pairing = pairing;
  // A base of 1 would turn all pairs alike and divide by its logarithm, 0.
  PARING_TRY(rope.base, p.real_or("rope.freq_base", 1.001, kRopeBaseMax, rope.base));
  PARING_TRY(rope.width, p.size_or("rope.dimension_count", kWidthMax, spec.head_width));
  if (rope.width > spec.head_width || rope.width % 2 != 0) {
    return corrupt(fmt::format("{} {} must be even and at most the head width {}",
                               p.key("rope.dimension_count"), rope.width, spec.head_width));
  }
  PARING_TRY(rope.original_context,
             p.size_or("rope.scaling.original_context_length", kContextMax, spec.context_max));
  PARING_TRY_VOID(read_rope_scaling(p, rope));
  return rope;
}

// llama.cpp's numbers of expert_gating_func; 0: not set. 2 is a sigmoid.
constexpr std::uint64_t kGatingSoftmax = 1;
constexpr std::uint64_t kGatingSoftmaxOfChosen = 3;

Result<ExpertScores> read_scores(const HyperParameters& p) {
  const std::string key = p.key("expert_gating_func");
  PARING_TRY(const std::uint64_t function, p.metadata().u64_or(key, kGatingSoftmax));
  if (function == 0 || function == kGatingSoftmax) return ExpertScores::kSoftmaxOfAll;
  if (function == kGatingSoftmaxOfChosen) return ExpertScores::kSoftmaxOfChosen;
  return unsupported(fmt::format("{} = {} is not supported", key, function),
                     "known: 1 softmax of all experts, 3 softmax of the chosen ones");
}

// Panels of experts lie one below the other, none shared by two.
Result<void> check_expert_width(const std::string& key, std::size_t width) {
  if (width % kernels::kPanelRows == 0) return {};
  return unsupported(fmt::format("{} {} is not a multiple of {}, which experts need", key, width,
                                 kernels::kPanelRows));
}

Result<void> read_experts(const HyperParameters& p, BlockSpec& spec) {
  for (const char* suffix : kUnsupportedExpertKeys) {
    PARING_TRY_VOID(refuse_other_than(p, suffix, 0));
  }
  for (const char* suffix : kUnsupportedExpertFactors) {
    PARING_TRY_VOID(refuse_other_than(p, suffix, 1));
  }
  ExpertSpec experts;
  PARING_TRY(experts.count, p.size("expert_count", kExpertsMax));
  if (!p.has("expert_used_count")) {
    return corrupt(fmt::format("{} is {}, but {} is missing", p.key("expert_count"), experts.count,
                               p.key("expert_used_count")));
  }
  PARING_TRY(experts.used, p.size("expert_used_count", experts.count));
  PARING_TRY(experts.scores, read_scores(p));
  PARING_TRY(experts.is_renormalized, p.metadata().bool_or(p.key("expert_weights_norm"), true));
  const char* width_key =
      p.has("expert_feed_forward_length") ? "expert_feed_forward_length" : "feed_forward_length";
  PARING_TRY(spec.ffn_width, p.size(width_key, kWidthMax));
  PARING_TRY_VOID(check_expert_width(p.key(width_key), spec.ffn_width));
  PARING_TRY_VOID(check_expert_width(p.key("embedding_length"), spec.width));
  spec.experts = experts;
  return {};
}

Result<bool> has_experts(const HyperParameters& p, Experts experts) {
  if (experts == Experts::kAlways) return true;
  PARING_TRY(const double count, p.metadata().f64_or(p.key("expert_count"), 0));
  if (count != 0 && experts == Experts::kNone) {
    return unsupported(fmt::format("{} = {:g} is not supported", p.key("expert_count"), count));
  }
  return count != 0;
}

}  // namespace

Result<BlockSpec> read_decoder(const HyperParameters& p, RopePairing pairing, Experts experts) {
  PARING_TRY_VOID(check_supported(p));
  BlockSpec spec;
  spec.architecture = p.architecture();
  PARING_TRY(spec.layers, p.size("block_count", kLayersMax));
  PARING_TRY(spec.width, p.size("embedding_length", kWidthMax));
  PARING_TRY(spec.context_max, p.size("context_length", kContextMax));
  PARING_TRY_VOID(read_heads(p, spec));
  PARING_TRY(const bool is_mixture, has_experts(p, experts));
  if (is_mixture) {
    PARING_TRY_VOID(read_experts(p, spec));
  } else {
    PARING_TRY(spec.ffn_width, p.size("feed_forward_length", kWidthMax));
  }
  PARING_TRY(spec.norm_epsilon, p.real("attention.layer_norm_rms_epsilon", 0, 0.999));
  PARING_TRY(RopeSpec rope, read_rope(p, spec, pairing));
  spec.ropes = {std::move(rope)};
  return spec;
}

Result<std::size_t> read_window(const HyperParameters& p, std::size_t otherwise) {
  constexpr const char* kSuffix = "attention.sliding_window";
  if (!p.has(kSuffix)) return otherwise;
  PARING_TRY(const std::uint64_t written, p.metadata().get_u64(p.key(kSuffix)));
  if (written == 0) return std::size_t{0};
  return p.size(kSuffix, kContextMax);
}

namespace {

// A list of yes and no: booleans, or integers that are 0 or not.
Result<std::vector<bool>> read_flags(const std::string& key, const io::GgufArray& array) {
  std::vector<bool> flags;
  const auto add_all = [&](const auto& items) {
    for (const auto item : items) flags.push_back(item != 0);
  };
  if (const auto* naturals = std::get_if<std::vector<std::uint64_t>>(&array.items)) {
    add_all(*naturals);
  } else if (const auto* integers = std::get_if<std::vector<std::int64_t>>(&array.items)) {
    add_all(*integers);
  } else {
    return corrupt(key + " must be a list of booleans");
  }
  return flags;
}

}  // namespace

Result<void> set_window_pattern(const HyperParameters& p, std::size_t window, std::size_t period,
                                std::size_t local_rope, BlockSpec& spec) {
  if (window == 0) return {};
  const std::string key = p.key("attention.sliding_window_pattern");
  const io::GgufValue* written = p.metadata().find(key);
  std::vector<bool> is_local;
  if (written != nullptr && std::holds_alternative<io::GgufArray>(written->data)) {
    PARING_TRY(is_local, read_flags(key, std::get<io::GgufArray>(written->data)));
    if (is_local.size() != spec.layers) {
      return corrupt(
          fmt::format("{} has {} items, the model {} layers", key, is_local.size(), spec.layers));
    }
  } else {
    PARING_TRY(period, p.size_or("attention.sliding_window_pattern", kLayersMax, period));
    for (std::size_t layer = 0; layer < spec.layers; ++layer) {
      is_local.push_back(layer % period < period - 1);
    }
  }
  for (const bool local : is_local) {
    spec.scopes.push_back(local ? LayerScope{window, local_rope} : LayerScope{});
  }
  return {};
}

}  // namespace paring::model
