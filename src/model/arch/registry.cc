// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <array>

#include "model/arch/arch.h"
#include "model/architecture.h"

namespace paring::model {

namespace {
constexpr std::array<const Architecture*, 1> kArchitectures = {&kLlama};
}  // namespace

std::span<const Architecture* const> architectures() noexcept { return kArchitectures; }

Result<BlockSpec> read_block_spec(const io::ModelFile& file) {
  PARING_TRY(const std::string name, file.metadata().get_string("general.architecture"));
  std::string known;
  for (const Architecture* architecture : kArchitectures) {
    if (name == architecture->name) {
      auto spec = architecture->read(file.metadata());
      if (!spec) return std::move(spec.error()).with_context(file.path());
      return spec;
    }
    known += (known.empty() ? "" : ", ") + std::string(architecture->name);
  }
  return unsupported(
      fmt::format("{}: general.architecture is '{}', which is not known", file.path(), name),
      "known architectures: " + known);
}

Result<std::size_t> read_size(const io::Metadata& metadata, const std::string& key,
                              std::uint64_t limit) {
  PARING_TRY(const std::uint64_t value, metadata.get_u64(key));
  if (value == 0 || value > limit) {
    return corrupt(fmt::format("{} is {}, it must be between 1 and {}", key, value, limit));
  }
  return static_cast<std::size_t>(value);
}

}  // namespace paring::model
