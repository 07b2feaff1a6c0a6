// SPDX-License-Identifier: Apache-2.0
// OTLP in JSON (its specification, "JSON Protobuf Encoding": ids in hexadecimal, names in
// camelCase, numbers of 64 bits as numbers or texts, enumerations as numbers, unknown fields left
// out) as the same message in Protocol Buffers, so that there is one reader of each. Stateless.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace paring::monitor {

// How deep values of attributes may lie in each other.
inline constexpr int kOtlpJsonDepthMax = 32;

enum class OtlpRequest : std::uint8_t { kTraces, kLogs };

// The bytes of ExportTraceServiceRequest or ExportLogsServiceRequest; what no reader of ours looks
// at is not in them. InvalidArgument: not JSON, or a field of another kind, which is named.
Result<std::string> otlp_of_json(std::string_view json, OtlpRequest request);

}  // namespace paring::monitor
