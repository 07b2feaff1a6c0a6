// SPDX-License-Identifier: Apache-2.0
#include "model/taps.h"

#include "base/check.h"

namespace paring::model {

TapSite input_site(MatrixKind kind) noexcept {
  switch (kind) {
    case MatrixKind::kQuery:
    case MatrixKind::kKey:
    case MatrixKind::kValue:
    case MatrixKind::kQkv:
      return TapSite::kAttentionInput;
    case MatrixKind::kAttentionOut:
      return TapSite::kAttentionOutput;
    case MatrixKind::kGate:
    case MatrixKind::kUp:
    case MatrixKind::kGateUp:
      return TapSite::kFfnInput;
    case MatrixKind::kDown:
      return TapSite::kFfnProduct;
    case MatrixKind::kExpertGate:
    case MatrixKind::kExpertUp:
      return TapSite::kExpertInput;
    case MatrixKind::kExpertDown:
      return TapSite::kExpertProduct;
    case MatrixKind::kEmbedding:
    case MatrixKind::kHead:
      break;
  }
  return TapSite::kHeadInput;
}

void Taps::observe_experts(Worker& /*worker*/, TapSite /*site*/, std::size_t /*layer*/,
                           const ExpertRows& /*rows*/) {
  PARING_CHECK(false, "a tap that wants the rows of experts takes them");
}

}  // namespace paring::model
