// SPDX-License-Identifier: Apache-2.0
// Statuses of the bridge as errors of ours.
#include "text/bridge_calls.h"

namespace paring::text {

Result<void> bridge_result(paring_bridge_status status) {
  if (status.code == PARING_BRIDGE_OK) return {};
  const void* data = status.message.data;
  Error error{ErrorCode::kInternal,
              std::string(static_cast<const char*>(data), status.message.size)};
  paring_bridge_buffer_free(status.message);
  switch (status.code) {
    case PARING_BRIDGE_INVALID_ARGUMENT:
      error.code = ErrorCode::kInvalidArgument;
      break;
    case PARING_BRIDGE_CORRUPT:
      error.code = ErrorCode::kCorrupt;
      break;
    case PARING_BRIDGE_UNSUPPORTED:
      error.code = ErrorCode::kUnsupported;
      break;
    case PARING_BRIDGE_EXHAUSTED:
      error.code = ErrorCode::kExhausted;
      break;
    default:
      break;
  }
  return error;
}

}  // namespace paring::text
