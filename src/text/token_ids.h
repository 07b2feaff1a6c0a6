// SPDX-License-Identifier: Apache-2.0
// TokenIds: the ids of texts. A flat table, because a vocabulary of 262,144 tokens is put into it
// each time that a model is opened. Any thread may read; for the .cc files of this module only.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace paring::text {

class TokenIds {
 public:
  // Makes room for so many.
  void reserve(std::size_t count);
  // The id of `text` from now on: `id`, or one that it had before. The characters must outlive the
  // table. REQUIRES: id is not negative.
  std::int32_t add(std::string_view text, std::int32_t id);
  // -1: there is none.
  std::int32_t find(std::string_view text) const;
  std::size_t size() const { return size_; }

 private:
  struct Slot {
    const char* data = nullptr;
    std::uint32_t size = 0;
    std::int32_t id = -1;  // -1: empty
  };
  // The slot of `text`, or an empty one.
  std::size_t place(std::string_view text) const;

  std::vector<Slot> slots_ = std::vector<Slot>(2);  // a power of two, at most half of them full
  std::size_t size_ = 0;
};

}  // namespace paring::text
