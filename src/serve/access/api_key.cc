// SPDX-License-Identifier: Apache-2.0
#include "serve/access/api_key.h"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <sys/random.h>

#include <array>
#include <cerrno>
#include <cstdint>

#include "base/file.h"

namespace paring::serve {

namespace {

constexpr std::string_view kBeginning = "pk-";
constexpr std::size_t kLookupLetters = 12;
constexpr std::size_t kSecretLetters = 32;
constexpr std::size_t kChecksumLetters = 6;  // 62^6 > 2^32
constexpr std::size_t kLetters =
    kBeginning.size() + kLookupLetters + kSecretLetters + kChecksumLetters;
constexpr std::string_view kAlphabet =
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

// CRC-32 (ISO-HDLC, polynomial 0xedb88320). Finds typing errors, proves nothing.
std::uint32_t crc32(std::string_view text) noexcept {
  std::uint32_t crc = ~std::uint32_t{0};
  for (const char c : text) {
    crc ^= static_cast<std::uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1U) ^ ((crc & 1U) != 0 ? 0xedb88320U : 0U);
  }
  return ~crc;
}

std::string checksum(std::string_view text) {
  std::uint32_t value = crc32(text);
  std::string letters;
  for (std::size_t i = 0; i < kChecksumLetters; ++i) {
    letters += kAlphabet[value % kAlphabet.size()];
    value /= static_cast<std::uint32_t>(kAlphabet.size());
  }
  return letters;
}

}  // namespace

Result<std::string> random_letters(std::size_t count) {
  // Bytes below the largest multiple of 62 are used, so that each letter is equally likely.
  constexpr std::uint8_t kBound = 256 / 62 * 62;
  std::string letters;
  while (letters.size() < count) {
    std::array<std::uint8_t, 64> bytes{};
    const ssize_t got = ::getrandom(bytes.data(), bytes.size(), 0);
    if (got < 0 && errno != EINTR) {
      return io_error("the system gives no random numbers: " + errno_text(errno));
    }
    for (ssize_t i = 0; i < got && letters.size() < count; ++i) {
      if (bytes[i] < kBound) letters += kAlphabet[bytes[i] % kAlphabet.size()];
    }
  }
  return letters;
}

Result<ApiKey> make_api_key() {
  PARING_TRY(const std::string letters, random_letters(kLookupLetters + kSecretLetters));
  ApiKey key;
  key.text = std::string(kBeginning) + letters;
  key.text += checksum(key.text);
  key.lookup = letters.substr(0, kLookupLetters);
  key.hash = api_key_hash(key.text);
  return key;
}

std::string_view api_key_lookup(std::string_view text) noexcept {
  if (text.size() != kLetters || !text.starts_with(kBeginning)) return {};
  for (const char c : text.substr(kBeginning.size())) {
    if (kAlphabet.find(c) == std::string_view::npos) return {};
  }
  const std::size_t body = kLetters - kChecksumLetters;
  if (text.substr(body) != checksum(text.substr(0, body))) return {};
  return text.substr(kBeginning.size(), kLookupLetters);
}

Sha256Digest api_key_hash(std::string_view text) {
  Sha256 hash;
  hash.update(text);
  return hash.finish();
}

bool is_equal(const Sha256Digest& a, const Sha256Digest& b) noexcept {
  return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace paring::serve
