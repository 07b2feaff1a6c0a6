// SPDX-License-Identifier: Apache-2.0
// The file of --redact: rules of the operator's own, and which of the built-in ones hold.
//
//   built_in:
//     us_ssn: on
//     phone: off
//   rules:
//     customer:
//       pattern: 'C-[0-9]{8}'
//       replacement: '[CUSTOMER]'
#pragma once

#include <string>

#include "base/result.h"
#include "monitor/redactor.h"

namespace paring::cli {

// InvalidArgument, with file, line and rule: what is no such file, and rules that no redactor can
// be made of. Errors of read_small_file().
Result<monitor::RedactionOptions> read_redaction_file(const std::string& path);

}  // namespace paring::cli
