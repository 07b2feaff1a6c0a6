// SPDX-License-Identifier: Apache-2.0
// Names of tensors in Hugging Face's layout, apart from the numbers in them. Stateless.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

namespace paring::model {

// "model.layers.12.mlp.experts.3.up_proj.weight" ->
// {"model.layers.{}.mlp.experts.{}.up_proj.weight", 12, 3}. A number that is not written the usual
// way stays, so that two names never mean one tensor.
struct NumberedName {
  std::string pattern;
  std::optional<std::size_t> layer;
  std::optional<std::size_t> expert;
};

NumberedName split_numbers(const std::string& name);

}  // namespace paring::model
