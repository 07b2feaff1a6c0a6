// SPDX-License-Identifier: Apache-2.0
// Rotary parameters of config.json ("rope_theta", "rope_scaling", or "rope_parameters" of
// transformers 5) as GGUF says them: metadata keys, and tensors of frequency divisors. Stateless.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "io/metadata.h"

namespace paring::model {

struct HfRope {
  // Tensors that GGUF holds instead of parameters: name and [rope width / 2] divisors.
  std::vector<std::pair<std::string, std::vector<float>>> tensors;
};

// Adds <architecture>.rope.* to `out`. `head_width` is that of the model. Unsupported: a kind of
// scaling that is not known. Corrupt: a parameter that is no number or out of range.
Result<HfRope> translate_hf_rope(const io::Metadata& config, const std::string& architecture,
                                 std::size_t head_width, io::Metadata& out);

// Llama 3.1's scaling: divisors of the frequencies base^(-2i/width). Long waves are divided by
// `factor`, short ones stay, those between are interpolated.
struct Llama3Scaling {
  double factor = 8;
  double low_frequency_factor = 1;
  double high_frequency_factor = 4;
  double original_context = 8192;
};
std::vector<float> llama3_divisors(const Llama3Scaling& scaling, double base, std::size_t width);

// What GGUF holds as tensors instead of parameters; empty where the model has none.
struct RopeTensors {
  std::vector<float> divisors;       // rope_freqs.weight
  std::vector<float> long_factors;   // rope_factors_long.weight
  std::vector<float> short_factors;  // rope_factors_short.weight
};

// The way back: "rope_theta" and "rope_scaling" into `config`. Unsupported when config.json cannot
// say it.
Result<void> export_hf_rope(const io::Metadata& metadata, const std::string& architecture,
                            std::size_t head_width, const RopeTensors& tensors,
                            io::Metadata& config);

}  // namespace paring::model
