// SPDX-License-Identifier: Apache-2.0
// SipHash-2-4 (Aumasson, Bernstein: "SipHash: a fast short-input PRF", INDOCRYPT 2012, section 2):
// a 64-bit hash under a secret key. Who does not have the key can neither make texts of one hash
// nor find the text of a hash by guessing. digest() may be asked for in between, so that the hashes
// of all beginnings of a text take one pass. A SipHash belongs to one thread.
//
//   SipHash hash(key);
//   hash.add(word);
//   const std::uint64_t value = hash.digest();
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace paring {

struct SipKey {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
};

class SipHash {
 public:
  explicit SipHash(const SipKey& key) noexcept;

  // Eight bytes, the least significant first.
  void add(std::uint64_t word) noexcept;
  // Its length, then its bytes, the last word filled up with zeros: texts behind each other keep
  // apart.
  void add_text(std::string_view text) noexcept;
  // Of all words so far.
  std::uint64_t digest() const noexcept { return digest_with(0, words_ * sizeof(std::uint64_t)); }
  // And of up to seven bytes more; `bytes`: how many there are in all.
  std::uint64_t digest_with(std::uint64_t rest, std::uint64_t bytes) const noexcept;

 private:
  struct State {
    std::uint64_t v0, v1, v2, v3;
    void round() noexcept;
  };
  State state_;
  std::uint64_t words_ = 0;
};

// Of bytes, as the paper defines it.
std::uint64_t sip_hash(const SipKey& key, std::string_view bytes) noexcept;

}  // namespace paring
