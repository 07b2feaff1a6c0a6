// SPDX-License-Identifier: Apache-2.0
#include "model/vectors.h"

#include <fmt/format.h>

#include <cmath>

#include "quant/format.h"

namespace paring::model {

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
  auto known = quant::require_format(info->type);
  if (!known) {
    return std::move(known.error()).with_context(fmt::format("{}: tensor '{}'", file.path(), name));
  }
  const quant::Format* format = *known;
  std::vector<float> values(width);
  const io::TensorBytes bytes = file.data(*info);
  format->decode(bytes.data(), values.data(), width);
  for (const float value : values) {
    if (!std::isfinite(value)) {
      return corrupt(
          fmt::format("{}: tensor '{}' holds a value that is not finite", file.path(), name));
    }
  }
  return values;
}

}  // namespace paring::model
