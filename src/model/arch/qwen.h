// SPDX-License-Identifier: Apache-2.0
// What Qwen2 and Qwen3 share.
#pragma once

#include "base/result.h"
#include "io/metadata.h"

namespace paring::model {

// An HfMapping::finish: Unsupported when config.json's "use_sliding_window" is true. The published
// models have a window's size there but do not use it.
Result<void> refuse_window(const io::Metadata& config, io::Metadata& out);

}  // namespace paring::model
