// SPDX-License-Identifier: Apache-2.0
#include "base/aligned.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

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

// AddressSanitizer replaces mlock() by nothing, so that there is nothing to see.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
// What the kernel says of it, in kB.
std::size_t locked_kilobytes() {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word) {
    if (word != "VmLck:") continue;
    std::size_t kilobytes = 0;
    status >> kilobytes;
    return kilobytes;
  }
  return 0;
}

TEST(AlignedBuffer, IsLockedUntilItIsFreed) {
  constexpr std::size_t kBytes = 16384;  // every process may lock as much
  {
    const auto buffer = AlignedBuffer::create(kBytes);
    ASSERT_TRUE(buffer->lock().has_value());
    EXPECT_EQ(locked_kilobytes(), kBytes / 1024);
  }
  EXPECT_EQ(locked_kilobytes(), 0U);
  EXPECT_TRUE(AlignedBuffer().lock().has_value());
}

TEST(AlignedBuffer, TellsTheLimitThatHindersLocking) {
  const auto buffer = AlignedBuffer::create(1 << 20);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const rlimit none{0, 0};
    if (setrlimit(RLIMIT_MEMLOCK, &none) != 0) _exit(3);
    if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0) _exit(3);  // root has no limit
    const auto locked = buffer->lock();
    const bool is_told = !locked && locked.error().code == ErrorCode::kExhausted &&
                         locked.error().text().find("1048576 bytes") != std::string::npos;
    _exit(is_told ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}
#endif

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
