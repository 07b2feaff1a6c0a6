// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/model_weights.h"

#include <limits>

#include "serve/wire/detail/json_text.h"

namespace paring::serve::wire {

namespace {

constexpr std::size_t kTensorsMax = std::size_t{1} << 20;

}  // namespace

std::string model_weights_answer(std::string_view model, std::span<const WeightTensor> tensors) {
  std::string out;
  append(out, "{\"object\":\"model.weights\",\"model\":", json_string(model), ",\"tensors\":[");
  const char* separator = "";
  for (const WeightTensor& tensor : tensors) {
    append(out, separator, "{\"name\":", json_string(tensor.name),
           ",\"type\":", json_string(tensor.type), ",\"values\":", tensor.values,
           ",\"bytes\":", tensor.bytes, '}');
    separator = ",";
  }
  return out + "]}";
}

const Shape& model_weights_answer_shape() {
  const auto count = [] { return integer(0, std::numeric_limits<std::int64_t>::max()); };
  static const Shape shape =
      object({required("object", name_of({"model.weights"}), "The kind of object."),
              required("model", text(), "Whose."),
              required("tensors",
                       list(object({required("name", text(), "As in the file."),
                                    required("type", text(), "Its format, such as Q4_0."),
                                    required("values", count(), "How many weights."),
                                    required("bytes", count(), "That they take.")}),
                            0, kTensorsMax),
                       "In the order of the file.")});
  return shape;
}

}  // namespace paring::serve::wire
