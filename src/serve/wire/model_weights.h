// SPDX-License-Identifier: Apache-2.0
// GET /v1/models/{model}/weights: the type and size of every tensor. Functions are stateless.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "serve/wire/shape.h"

namespace paring::serve::wire {

struct WeightTensor {
  std::string_view name;
  const char* type = "";
  std::uint64_t values = 0;
  std::uint64_t bytes = 0;
};
std::string model_weights_answer(std::string_view model, std::span<const WeightTensor> tensors);
const Shape& model_weights_answer_shape();

}  // namespace paring::serve::wire
