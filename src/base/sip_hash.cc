// SPDX-License-Identifier: Apache-2.0
#include "base/sip_hash.h"

#include <bit>

namespace paring {

namespace {

constexpr std::size_t kWordBytes = 8;

// Up to eight bytes.
std::uint64_t word_of(std::string_view bytes) noexcept {
  std::uint64_t word = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    word |= std::uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  }
  return word;
}

}  // namespace

void SipHash::State::round() noexcept {
  v0 += v1;
  v1 = std::rotl(v1, 13);
  v1 ^= v0;
  v0 = std::rotl(v0, 32);
  v2 += v3;
  v3 = std::rotl(v3, 16);
  v3 ^= v2;
  v0 += v3;
  v3 = std::rotl(v3, 21);
  v3 ^= v0;
  v2 += v1;
  v1 = std::rotl(v1, 17);
  v1 ^= v2;
  v2 = std::rotl(v2, 32);
}

SipHash::SipHash(const SipKey& key) noexcept
    : state_{key.low ^ 0x736f6d6570736575, key.high ^ 0x646f72616e646f6d,
             key.low ^ 0x6c7967656e657261, key.high ^ 0x7465646279746573} {}

void SipHash::add(std::uint64_t word) noexcept {
  state_.v3 ^= word;
  state_.round();
  state_.round();
  state_.v0 ^= word;
  ++words_;
}

void SipHash::add_text(std::string_view text) noexcept {
  add(text.size());
  for (; !text.empty(); text.remove_prefix(text.size() < kWordBytes ? text.size() : kWordBytes)) {
    add(word_of(text.substr(0, kWordBytes)));
  }
}

std::uint64_t SipHash::digest_with(std::uint64_t rest, std::uint64_t bytes) const noexcept {
  SipHash last = *this;
  last.add(rest | bytes << 56);
  State& state = last.state_;
  state.v2 ^= 0xff;
  for (int i = 0; i < 4; ++i) state.round();
  return state.v0 ^ state.v1 ^ state.v2 ^ state.v3;
}

std::uint64_t sip_hash(const SipKey& key, std::string_view bytes) noexcept {
  SipHash hash(key);
  std::string_view rest = bytes;
  for (; rest.size() >= kWordBytes; rest.remove_prefix(kWordBytes)) {
    hash.add(word_of(rest.substr(0, kWordBytes)));
  }
  return hash.digest_with(word_of(rest), bytes.size());
}

}  // namespace paring
