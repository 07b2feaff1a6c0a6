// SPDX-License-Identifier: Apache-2.0
#include "model/vectors.h"

#include <fmt/format.h>

#include <cmath>

#include "quant/format.h"

namespace paring::model {

Result<std::vector<float>> load_values(const io::ModelFile& file, const io::TensorInfo& tensor) {
  const auto who = [&] { return fmt::format("{}: tensor '{}'", file.path(), tensor.name); };
  auto format = quant::require_format(tensor.type);
  if (!format) return std::move(format.error()).with_context(who());
  std::vector<float> values(tensor.values());
  const io::TensorBytes bytes = file.data(tensor);
  (*format)->decode(bytes.data(), values.data(), values.size());
  for (const float value : values) {
    if (!std::isfinite(value)) return corrupt(who() + " holds a value that is not finite");
  }
  return values;
}

Result<std::vector<float>> load_vector(const io::ModelFile& file, const std::string& name,
                                       std::size_t width) {
  const io::TensorInfo* info = file.find(name);
  if (info == nullptr) {
    return corrupt(fmt::format("{}: tensor '{}' is missing", file.path(), name),
                   "the file is incomplete or of another architecture");
  }
  if (info->shape.size() != 1 || info->columns() != width) {
    return corrupt(fmt::format("{}: tensor '{}' must have shape [{}]", file.path(), name, width));
  }
  return load_values(file, *info);
}

}  // namespace paring::model
