// SPDX-License-Identifier: Apache-2.0
#include "base/aligned.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

namespace paring {
namespace {

TEST(AlignedBuffer, IsZeroedAndAligned) {
  for (std::size_t bytes : {1, 63, 4097, 3 << 20}) {
    auto buffer = AlignedBuffer::create(bytes);
    ASSERT_TRUE(buffer.has_value());
    EXPECT_EQ(buffer->bytes(), bytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer->data()) % 64, 0u);
    EXPECT_TRUE(std::all_of(buffer->data(), buffer->data() + bytes,
                            [](std::byte b) { return b == std::byte{0}; }));
    buffer->data()[bytes - 1] = std::byte{7};
  }
}

TEST(AlignedBuffer, EmptyIsAllowed) {
  auto buffer = AlignedBuffer::create(0);
  ASSERT_TRUE(buffer.has_value());
  EXPECT_EQ(buffer->bytes(), 0u);
  EXPECT_EQ(buffer->data(), nullptr);
  EXPECT_TRUE(buffer->span<float>().empty());
}

TEST(AlignedBuffer, MovesOwnership) {
  AlignedBuffer first = AlignedBuffer::create(256).value();
  first.as<float>()[3] = 2.5f;
  const std::byte* const memory = first.data();
  AlignedBuffer second(std::move(first));
  EXPECT_EQ(second.data(), memory);
  EXPECT_EQ(first.data(), nullptr);  // NOLINT: the moved-from state is part of the contract
  AlignedBuffer third = AlignedBuffer::create(64).value();
  third = std::move(second);
  EXPECT_EQ(third.as<float>()[3], 2.5f);
  EXPECT_EQ(third.span<float>().size(), 64u);
  EXPECT_EQ(second.bytes(), 0u);  // NOLINT
}

TEST(AlignedBuffer, RefusedMemoryIsAnErrorWithTheSize) {
  const auto buffer = AlignedBuffer::create(std::numeric_limits<std::size_t>::max() / 2);
  ASSERT_FALSE(buffer.has_value());
  EXPECT_EQ(buffer.error().code, ErrorCode::kExhausted);
  EXPECT_NE(buffer.error().message.find("9223372036854775807 bytes"), std::string::npos);
}

}  // namespace
}  // namespace paring
