// SPDX-License-Identifier: Apache-2.0
// Tensors of a model file that are read as f32: vectors (norms, biases, divisors of rotary
// frequencies), tables and adapters.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/result.h"
#include "io/model_file.h"

namespace paring::model {

// Names of the tensors that stretch rotary frequencies; they belong to no layer.
inline constexpr const char* kRopeFreqsName = "rope_freqs.weight";
inline constexpr const char* kRopeLongName = "rope_factors_long.weight";
inline constexpr const char* kRopeShortName = "rope_factors_short.weight";

// Every value of a tensor as f32, in the file's order. Unsupported for a type without a decoder,
// Corrupt when a value is not finite; both name the tensor.
Result<std::vector<float>> load_values(const io::ModelFile& file, const io::TensorInfo& tensor);

// A vector tensor as f32. Corrupt when it is missing, of another length than `width`, or holds a
// value that is not finite.
Result<std::vector<float>> load_vector(const io::ModelFile& file, const std::string& name,
                                       std::size_t width);

}  // namespace paring::model
