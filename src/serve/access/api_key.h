// SPDX-License-Identifier: Apache-2.0
// What a key of ours is made of: "pk-", 12 letters that find its row, 32 secret letters, 6 of a
// checksum, so that a mistyped key needs no look-up. Letters and digits (base 62): the secret part
// alone has 190 bits. Stateless, thread-safe.
//
// A plain SHA-256 is kept of it, no slow password hash: those defend what people choose, which an
// attacker with the database could guess. 190 random bits cannot be guessed at any speed, and a
// slow hash on each request would be a way to keep the server busy.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/sha256.h"

namespace paring::serve {

struct ApiKey {
  std::string text;  // the secret itself: shown once, never stored or logged
  std::string lookup;
  Sha256Digest hash{};
};

// A new one from the system's random numbers. Io when there are none.
Result<ApiKey> make_api_key();
// So many random letters and digits, for ids. Io when there are no random numbers.
Result<std::string> random_letters(std::size_t count);

// The 12 letters by which the row of `text` is found; empty when it is no key of ours, or mistyped.
std::string_view api_key_lookup(std::string_view text) noexcept;
Sha256Digest api_key_hash(std::string_view text);
// In a time that does not depend on where they differ.
bool is_equal(const Sha256Digest& a, const Sha256Digest& b) noexcept;

}  // namespace paring::serve
