// SPDX-License-Identifier: Apache-2.0
#include "measure/builtin_text.h"

#include "embed_calibration.h"
#include "embed_holdout.h"

namespace paring::measure {

std::string_view calibration_text() noexcept {
  return {paring_embed_calibration, paring_embed_calibration_size};
}
std::string_view holdout_text() noexcept {
  return {paring_embed_holdout, paring_embed_holdout_size};
}
std::string_view calibration_text_sha256() noexcept { return paring_embed_calibration_sha256; }
std::string_view holdout_text_sha256() noexcept { return paring_embed_holdout_sha256; }

}  // namespace paring::measure
