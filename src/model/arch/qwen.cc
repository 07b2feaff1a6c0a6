// SPDX-License-Identifier: Apache-2.0
#include "model/arch/qwen.h"

namespace paring::model {

Result<void> refuse_window(const io::Metadata& config, io::Metadata& /*out*/) {
  PARING_TRY(const bool uses_window, config.bool_or("use_sliding_window", false));
  if (!uses_window) return {};
  return unsupported(config.source() + ": 'use_sliding_window' is true, which is not supported");
}

}  // namespace paring::model
