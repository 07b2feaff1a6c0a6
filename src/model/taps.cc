// SPDX-License-Identifier: Apache-2.0
#include "model/taps.h"

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
    case MatrixKind::kEmbedding:
    case MatrixKind::kHead:
      break;
  }
  return TapSite::kHeadInput;
}

}  // namespace paring::model
