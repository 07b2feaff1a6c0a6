// SPDX-License-Identifier: Apache-2.0
// Which experts a token uses, and with what weights. Stateless.
#pragma once

#include <cstddef>
#include <cstdint>

#include "model/block_spec.h"

namespace paring::model {

// Upper bound of ExpertSpec::count, above any published model.
inline constexpr std::size_t kExpertsMax = 1024;

// From a router's scores [spec.count]: the `used` best, ascending, and their weights. Of equal
// scores the lower number is chosen; one that is not a number counts as the least. Sums in double.
// REQUIRES: spec.count <= kExpertsMax.
void choose_experts(const ExpertSpec& spec, const float* scores, std::uint32_t* experts,
                    float* weights) noexcept;

}  // namespace paring::model
