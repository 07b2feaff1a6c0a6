// SPDX-License-Identifier: Apache-2.0
#include "model/encoder_names.h"

namespace paring::model {

const char* activation_name(EncoderActivation activation) noexcept {
  switch (activation) {
    case EncoderActivation::kGeluErf:
      return "gelu";
    case EncoderActivation::kGeluTanh:
      return "gelu_new";
    case EncoderActivation::kRelu:
      break;
  }
  return "relu";
}

const char* pooling_name(Pooling pooling) noexcept {
  switch (pooling) {
    case Pooling::kNone:
      return "none";
    case Pooling::kMean:
      return "mean";
    case Pooling::kFirst:
      return "cls";
    case Pooling::kLast:
      break;
  }
  return "last";
}

const char* label_kind_name(LabelKind kind) noexcept {
  switch (kind) {
    case LabelKind::kOneOf:
      return "single_label_classification";
    case LabelKind::kAnyOf:
      return "multi_label_classification";
    case LabelKind::kValue:
      break;
  }
  return "regression";
}

std::string label_name(const EncoderSpec& spec, std::size_t label) {
  return spec.label_names.empty() ? "LABEL_" + std::to_string(label) : spec.label_names[label];
}

}  // namespace paring::model
