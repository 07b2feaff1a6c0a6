// SPDX-License-Identifier: Apache-2.0
// The key under which prompts are hashed for rows of traffic (TrafficPromptMarks): so that a row
// does not tell which of some guessed prompts it had. Stateless.
#pragma once

#include <string>

#include "base/result.h"
#include "base/sip_hash.h"

namespace paring::store {

// Of the folder of a server's state: DATA/traffic/marks.key, 16 random bytes with mode 0600, made
// at the first call. Corrupt: the file is not that long. Processes that start together get one key.
Result<SipKey> marks_key(const std::string& data);

}  // namespace paring::store
