// SPDX-License-Identifier: Apache-2.0
// What the choices of an EncoderSpec are called on the command line and in JSON: config.json's
// names where it has one. Stateless.
#pragma once

#include <cstddef>
#include <string>

#include "model/encoder_spec.h"

namespace paring::model {

// "gelu", "gelu_new", "relu"
const char* activation_name(EncoderActivation activation) noexcept;
// "none", "mean", "cls", "last"
const char* pooling_name(Pooling pooling) noexcept;
// "single_label_classification", "multi_label_classification", "regression"
const char* label_kind_name(LabelKind kind) noexcept;
// The model's own name, or "LABEL_<n>". REQUIRES: label < spec.labels.
std::string label_name(const EncoderSpec& spec, std::size_t label);

}  // namespace paring::model
