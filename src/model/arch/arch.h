// SPDX-License-Identifier: Apache-2.0
// Every architecture's translation, one object each, defined in the file of its name.
#pragma once

#include "model/architecture.h"

namespace paring::model {
extern const Architecture kLlama;
}  // namespace paring::model
