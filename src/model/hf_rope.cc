// SPDX-License-Identifier: Apache-2.0
#include "model/hf_rope.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>

namespace paring::model {

namespace {

constexpr double kRealMax = 1e12;
constexpr const char* kYarnAttentionKey = "rope.scaling.yarn_attn_factor";

// arXiv:2402.13753, eq. 3 as transformers applies it.
double longrope_attention(std::uint64_t context, std::uint64_t original) {
  const double scale = static_cast<double>(context) / static_cast<double>(original);
  return scale <= 1 ? 1.0
                    : std::sqrt(1 + std::log(scale) / std::log(static_cast<double>(original)));
}

// Where config.json keeps the parameters of scaling: transformers 4 and 5, and 5 for models whose
// layers differ.
std::string scaling_prefix(const io::Metadata& config) {
  if (config.has("rope_parameters.full_attention.rope_theta")) {
    return "rope_parameters.full_attention.";
  }
  if (config.has("rope_parameters.rope_theta")) return "rope_parameters.";
  return "rope_scaling.";
}

// A number in [least, most]; `otherwise` when the key is absent and that is not 0.
Result<double> real(const io::Metadata& config, const std::string& key, double least, double most,
                    double otherwise) {
  if (!config.has(key) && otherwise != 0) return otherwise;
  PARING_TRY(const double value, config.get_f64(key));
  if (!(value >= least && value <= most)) {
    return corrupt(fmt::format("{}: '{}' is {:g}, it must be between {:g} and {:g}",
                               config.source(), key, value, least, most));
  }
  return value;
}

class Translation {
 public:
  Translation(const io::Metadata& config, std::string architecture, std::size_t head_width,
              io::Metadata& out)
      : config_(config),
        architecture_(std::move(architecture)),
        prefix_(scaling_prefix(config)),
        head_width_(head_width),
        out_(out) {}

  Result<HfRope> run() {
    const std::string nested = prefix_ + "rope_theta";
    PARING_TRY(base_, real(config_, config_.has(nested) ? nested : "rope_theta", 1.001, kRealMax,
                           10000.0));
    put("rope.freq_base", io::GgufValue::of_f32(static_cast<float>(base_)));
    PARING_TRY(const double share, real(config_, "partial_rotary_factor", 1e-3, 1, 1));
    width_ = static_cast<std::size_t>(share * static_cast<double>(head_width_));
    put("rope.dimension_count", io::GgufValue::of_u32(static_cast<std::uint32_t>(width_)));
    PARING_TRY_VOID(put_local_base());
    PARING_TRY_VOID(put_scaling());
    return std::move(rope_);
  }

 private:
  void put(const char* key, io::GgufValue value) {
    out_.set(architecture_ + "." + key, std::move(value));
  }
  Result<double> parameter(const char* name, double least, double most, double otherwise = 0) {
    return real(config_, prefix_ + name, least, most, otherwise);
  }

  // Gemma 3: layers with a window have a base of their own.
  Result<void> put_local_base() {
    for (const char* key :
         {"rope_local_base_freq", "rope_parameters.sliding_attention.rope_theta"}) {
      if (!config_.has(key)) continue;
      PARING_TRY(const double base, real(config_, key, 1.001, kRealMax, 0));
      put("rope.freq_base_swa", io::GgufValue::of_f32(static_cast<float>(base)));
    }
    return {};
  }

  Result<void> put_scaling() {
    PARING_TRY(const std::string older, config_.string_or(prefix_ + "type", "default"));
    PARING_TRY(const std::string type, config_.string_or(prefix_ + "rope_type", older));
    if (type == "default") return {};
    if (type == "linear") return put_linear();
    if (type == "yarn") return put_yarn();
    if (type == "llama3") return put_llama3();
    if (type == "longrope" || type == "su") return put_longrope();
    return unsupported(fmt::format("{}: '{}rope_type' is '{}', which is not known",
                                   config_.source(), prefix_, type),
                       "known: default, linear, llama3, longrope, yarn");
  }

  Result<void> put_linear() {
    PARING_TRY(const double factor, parameter("factor", 1, 1e6));
    put("rope.scaling.type", io::GgufValue::of_string("linear"));
    put("rope.scaling.factor", io::GgufValue::of_f32(static_cast<float>(factor)));
    return {};
  }

  Result<void> put_yarn() {
    // Given by a few models instead of the paper's temperature; GGUF has no agreed place for them.
    for (const char* key : {"mscale", "mscale_all_dim"}) {
      if (!config_.has(prefix_ + key)) continue;
      return unsupported(
          fmt::format("{}: '{}{}' is not supported", config_.source(), prefix_, key));
    }
    PARING_TRY(const double factor, parameter("factor", 1, 1e6));
    PARING_TRY(const std::uint64_t context, original_context());
    put("rope.scaling.type", io::GgufValue::of_string("yarn"));
    put("rope.scaling.factor", io::GgufValue::of_f32(static_cast<float>(factor)));
    put("rope.scaling.original_context_length",
        io::GgufValue::of_u32(static_cast<std::uint32_t>(context)));
    for (const auto& [from, to] : {std::pair("beta_fast", "rope.scaling.yarn_beta_fast"),
                                   std::pair("beta_slow", "rope.scaling.yarn_beta_slow"),
                                   std::pair("attention_factor", kYarnAttentionKey)}) {
      if (!config_.has(prefix_ + from)) continue;
      PARING_TRY(const double value, parameter(from, 1e-3, 1e6));
      put(to, io::GgufValue::of_f32(static_cast<float>(value)));
    }
    return {};
  }

  Result<void> put_llama3() {
    Llama3Scaling scaling;
    PARING_TRY(scaling.factor, parameter("factor", 1, 1e6, scaling.factor));
    PARING_TRY(scaling.low_frequency_factor,
               parameter("low_freq_factor", 1e-3, 1e6, scaling.low_frequency_factor));
    PARING_TRY(scaling.high_frequency_factor,
               parameter("high_freq_factor", 1e-3, 1e6, scaling.high_frequency_factor));
    PARING_TRY(scaling.original_context,
               parameter("original_max_position_embeddings", 1, 1e9, scaling.original_context));
    if (scaling.low_frequency_factor >= scaling.high_frequency_factor) {
      return corrupt(fmt::format("{}: '{}low_freq_factor' {:g} must be below high_freq_factor {:g}",
                                 config_.source(), prefix_, scaling.low_frequency_factor,
                                 scaling.high_frequency_factor));
    }
    rope_.tensors.emplace_back("rope_freqs.weight", llama3_divisors(scaling, base_, width_));
    return {};
  }

  Result<void> put_longrope() {
    PARING_TRY(const std::uint64_t original, original_context());
    PARING_TRY(const std::uint64_t context, config_.get_u64("max_position_embeddings"));
    put("rope.scaling.type", io::GgufValue::of_string("longrope"));
    put("rope.scaling.original_context_length",
        io::GgufValue::of_u32(static_cast<std::uint32_t>(original)));
    const double attention = longrope_attention(context, original);
    put("rope.scaling.attn_factor", io::GgufValue::of_f32(static_cast<float>(attention)));
    for (const auto& [key, name] : {std::pair("long_factor", "rope_factors_long.weight"),
                                    std::pair("short_factor", "rope_factors_short.weight")}) {
      PARING_TRY(std::vector<float> factors, factor_list(prefix_ + key));
      rope_.tensors.emplace_back(name, std::move(factors));
    }
    return {};
  }

  Result<std::uint64_t> original_context() {
    constexpr const char* kName = "original_max_position_embeddings";
    const std::string key = config_.has(prefix_ + kName) ? prefix_ + kName : kName;
    const std::string present = config_.has(key) ? key : "max_position_embeddings";
    PARING_TRY(const std::uint64_t context, config_.get_u64(present));
    if (context < 2 || context > std::uint64_t{1} << 30) {
      return corrupt(fmt::format("{}: '{}' is {}, it must be between 2 and {}", config_.source(),
                                 present, context, std::uint64_t{1} << 30));
    }
    return context;
  }

  Result<std::vector<float>> factor_list(const std::string& key) {
    PARING_TRY(const std::vector<double> values, config_.f64_array(key));
    if (values.size() != width_ / 2) {
      return corrupt(fmt::format("{}: '{}' has {} numbers, {} are needed", config_.source(), key,
                                 values.size(), width_ / 2));
    }
    std::vector<float> factors;
    for (const double value : values) {
      if (!(value > 0 && value <= 1e6)) {
        return corrupt(fmt::format("{}: '{}' holds {:g}, above 0 and at most 1e6 is needed",
                                   config_.source(), key, value));
      }
      factors.push_back(static_cast<float>(value));
    }
    return factors;
  }

  const io::Metadata& config_;
  std::string architecture_;
  std::string prefix_;
  std::size_t head_width_;
  io::Metadata& out_;
  double base_ = 0;
  std::size_t width_ = 0;
  HfRope rope_;
};

bool is_close(const std::vector<float>& a, const std::vector<float>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](float x, float y) {
    return std::fabs(x - y) <= 1e-5F * std::max(std::fabs(x), std::fabs(y));
  });
}

// The scaling whose divisors these are. The factor is that of the longest wave. The other three
// parameters have one scale in common that no divisor shows, so they are read as every model has
// them: 1, 4 and a power of two, beginning with Llama 3.1's.
std::optional<Llama3Scaling> read_llama3(const std::vector<float>& divisors, double base,
                                         std::size_t width) {
  constexpr double kContextMin = 16;
  constexpr double kContextMax = 1 << 24;
  Llama3Scaling scaling;
  scaling.factor = divisors.empty() ? 1 : static_cast<double>(divisors.back());
  if (is_close(divisors, llama3_divisors(scaling, base, width))) return scaling;
  for (double context = kContextMin; context <= kContextMax; context *= 2) {
    scaling.original_context = context;
    if (is_close(divisors, llama3_divisors(scaling, base, width))) return scaling;
  }
  return std::nullopt;
}

Result<void> export_llama3(const std::vector<float>& divisors, double base, std::size_t width,
                           io::Metadata& config) {
  const std::optional<Llama3Scaling> found = read_llama3(divisors, base, width);
  if (!found) {
    return unsupported(
        "tensor 'rope_freqs.weight' holds divisors that config.json cannot say: they are not those "
        "of Llama 3's scaling with any context");
  }
  const Llama3Scaling& scaling = *found;
  config.set("rope_scaling.rope_type", io::GgufValue::of_string("llama3"));
  config.set("rope_scaling.factor", io::GgufValue::of_f64(scaling.factor));
  config.set("rope_scaling.low_freq_factor", io::GgufValue::of_f64(scaling.low_frequency_factor));
  config.set("rope_scaling.high_freq_factor", io::GgufValue::of_f64(scaling.high_frequency_factor));
  config.set("rope_scaling.original_max_position_embeddings",
             io::GgufValue::of_u64(static_cast<std::uint64_t>(scaling.original_context)));
  return {};
}

Result<void> export_linear(const io::Metadata& metadata, const std::string& from,
                           io::Metadata& config) {
  PARING_TRY(const double factor, metadata.get_f64(from + "factor"));
  config.set("rope_scaling.rope_type", io::GgufValue::of_string("linear"));
  config.set("rope_scaling.factor", io::GgufValue::of_f64(factor));
  return {};
}

Result<void> export_yarn(const io::Metadata& metadata, const std::string& from,
                         io::Metadata& config) {
  PARING_TRY(const double multiplier, metadata.f64_or(from + "yarn_log_multiplier", 0));
  if (multiplier != 0) {
    return unsupported(fmt::format("{}: {}yarn_log_multiplier {:g} cannot be exported",
                                   metadata.source(), from, multiplier));
  }
  PARING_TRY(const double factor, metadata.get_f64(from + "factor"));
  config.set("rope_scaling.rope_type", io::GgufValue::of_string("yarn"));
  config.set("rope_scaling.factor", io::GgufValue::of_f64(factor));
  if (metadata.has(from + "original_context_length")) {
    PARING_TRY(const std::uint64_t context, metadata.get_u64(from + "original_context_length"));
    config.set("rope_scaling.original_max_position_embeddings", io::GgufValue::of_u64(context));
  }
  for (const auto& [key, name] :
       {std::pair("yarn_beta_fast", "beta_fast"), std::pair("yarn_beta_slow", "beta_slow"),
        std::pair("yarn_attn_factor", "attention_factor")}) {
    if (!metadata.has(from + key)) continue;
    PARING_TRY(const double value, metadata.get_f64(from + key));
    config.set(std::string("rope_scaling.") + name, io::GgufValue::of_f64(value));
  }
  return {};
}

Result<void> export_longrope(const io::Metadata& metadata, const std::string& architecture,
                             const std::string& from, const RopeTensors& tensors,
                             io::Metadata& config) {
  PARING_TRY(const std::uint64_t original, metadata.get_u64(from + "original_context_length"));
  PARING_TRY(const std::uint64_t context, metadata.get_u64(architecture + ".context_length"));
  PARING_TRY(const double attention, metadata.f64_or(from + "attn_factor", 1.0));
  if (original < 2 || std::fabs(attention - longrope_attention(context, original)) > 1e-4) {
    return unsupported(fmt::format(
        "{}: {}attn_factor is {:g} where contexts of {} and {} positions give {:g}; config.json "
        "cannot say that",
        metadata.source(), from, attention, original, context,
        original < 2 ? 1.0 : longrope_attention(context, original)));
  }
  config.set("original_max_position_embeddings", io::GgufValue::of_u64(original));
  config.set("rope_scaling.rope_type", io::GgufValue::of_string("longrope"));
  config.set("rope_scaling.long_factor", io::GgufValue::of_f32_array(tensors.long_factors));
  config.set("rope_scaling.short_factor", io::GgufValue::of_f32_array(tensors.short_factors));
  return {};
}

}  // namespace

std::vector<float> llama3_divisors(const Llama3Scaling& scaling, double base, std::size_t width) {
  std::vector<float> divisors;
  for (std::size_t i = 0; i + 1 < width; i += 2) {
    const double frequency = std::pow(base, -static_cast<double>(i) / static_cast<double>(width));
    // How often the pair turns within the original context.
    const double turns = scaling.original_context * frequency / (2 * std::numbers::pi);
    double divisor = 1;
    if (turns < scaling.low_frequency_factor) {
      divisor = scaling.factor;
    } else if (turns <= scaling.high_frequency_factor) {
      const double share = (turns - scaling.low_frequency_factor) /
                           (scaling.high_frequency_factor - scaling.low_frequency_factor);
      divisor = 1 / ((1 - share) / scaling.factor + share);
    }
    divisors.push_back(static_cast<float>(divisor));
  }
  return divisors;
}

Result<HfRope> translate_hf_rope(const io::Metadata& config, const std::string& architecture,
                                 std::size_t head_width, io::Metadata& out) {
  return Translation(config, architecture, head_width, out).run();
}

Result<void> export_hf_rope(const io::Metadata& metadata, const std::string& architecture,
                            std::size_t head_width, const RopeTensors& tensors,
                            io::Metadata& config) {
  PARING_TRY(const double base, metadata.f64_or(architecture + ".rope.freq_base", 10000.0));
  PARING_TRY(const std::uint64_t width,
             metadata.u64_or(architecture + ".rope.dimension_count", head_width));
  config.set("rope_theta", io::GgufValue::of_f64(base));
  if (width != head_width) {
    config.set("partial_rotary_factor",
               io::GgufValue::of_f64(static_cast<double>(width) / static_cast<double>(head_width)));
  }
  if (metadata.has(architecture + ".rope.freq_base_swa")) {
    PARING_TRY(const double local, metadata.get_f64(architecture + ".rope.freq_base_swa"));
    config.set("rope_local_base_freq", io::GgufValue::of_f64(local));
  }
  if (!tensors.divisors.empty()) return export_llama3(tensors.divisors, base, width, config);
  const std::string from = architecture + ".rope.scaling.";
  PARING_TRY(const std::string type, metadata.string_or(from + "type", "none"));
  if (type == "longrope") return export_longrope(metadata, architecture, from, tensors, config);
  PARING_TRY(const double attention, metadata.f64_or(from + "attn_factor", 1.0));
  if (attention != 1) {
    return unsupported(fmt::format("{}: {}attn_factor {:g} cannot be exported", metadata.source(),
                                   from, attention));
  }
  const bool is_plain = type == "none" || !metadata.has(from + "factor");
  if (is_plain && (type == "none" || type == "linear")) return {};
  if (type == "linear") return export_linear(metadata, from, config);
  if (type == "yarn" && !is_plain) return export_yarn(metadata, from, config);
  return unsupported(
      fmt::format("{}: {}type '{}' cannot be exported", metadata.source(), from, type));
}

}  // namespace paring::model
