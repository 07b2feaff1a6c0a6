// SPDX-License-Identifier: Apache-2.0
// A disk that is slow, or stands still, for the files of a folder: tests/test_serve_slow_disk.py
// builds it and preloads it into a server. SLOW_DISK_FOLDER is part of their paths, SLOW_DISK_MS
// what each write and sync takes, and nothing is done while the file SLOW_DISK_GATE exists.
#include <dlfcn.h>
#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>

namespace {

std::string variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

int number(const char* name) {
  const std::string text = variable(name);
  int value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

void hold(int descriptor) {
  static const std::string folder = variable("SLOW_DISK_FOLDER");
  static const std::string gate = variable("SLOW_DISK_GATE");
  static const int milliseconds = number("SLOW_DISK_MS");
  std::array<char, 4096> path{};
  const std::string link = "/proc/self/fd/" + std::to_string(descriptor);
  if (folder.empty() || ::readlink(link.c_str(), path.data(), path.size() - 1) <= 0) return;
  if (std::string(path.data()).find(folder) == std::string::npos) return;
  // Not a wait for something: this is the disk's time.
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
  while (!gate.empty() && ::access(gate.c_str(), F_OK) == 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

template <typename Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" {

ssize_t pwrite64(int descriptor, const void* data, std::size_t bytes, off64_t at) {
  hold(descriptor);
  static auto* const real = next<ssize_t(int, const void*, std::size_t, off64_t)>("pwrite64");
  return real(descriptor, data, bytes, at);
}

int fdatasync(int descriptor) {
  hold(descriptor);
  static auto* const real = next<int(int)>("fdatasync");
  return real(descriptor);
}

int fsync(int descriptor) {
  hold(descriptor);
  static auto* const real = next<int(int)>("fsync");
  return real(descriptor);
}
}
