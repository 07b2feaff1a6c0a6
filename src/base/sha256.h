// SPDX-License-Identifier: Apache-2.0
// SHA-256, the hash of every identity in Paring (files, texts, variants). A Sha256 belongs to one
// thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

struct evp_md_ctx_st;

namespace paring {

using Sha256Digest = std::array<std::uint8_t, 32>;

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  void update(std::span<const std::byte> data);
  void update(std::string_view text) { update(std::as_bytes(std::span(text))); }
  // Ends the stream; afterwards the object starts a new one.
  Sha256Digest finish();

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const noexcept;
  };
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

// 64 lower-case digits.
std::string hex(const Sha256Digest& digest);
std::string sha256_hex(std::string_view text);
std::string sha256_hex(std::span<const std::byte> data);
bool is_sha256_hex(std::string_view text) noexcept;

// Hash of a file of any size, read in blocks. `on_bytes` (may be empty) is told the size of each
// block as it is done.
Result<std::string> sha256_file(const std::string& path,
                                const std::function<void(std::uint64_t)>& on_bytes = {});

}  // namespace paring
