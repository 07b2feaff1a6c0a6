// SPDX-License-Identifier: Apache-2.0
#include "base/thread.h"

#include <memory>
#include <system_error>
#include <utility>

namespace paring {

namespace {

constexpr std::size_t kNameBytesMax = 15;

struct Start {
  std::string name;
  std::function<void()> body;
};

void* run(void* given) noexcept {
  const std::unique_ptr<Start> start(static_cast<Start*>(given));
  set_thread_name(start->name);
  start->body();
  return nullptr;
}

// 0, or what the system says is wrong.
int create(pthread_t& thread, std::size_t stack_bytes, Start* start) noexcept {
  if (stack_bytes == 0) return pthread_create(&thread, nullptr, run, start);
  pthread_attr_t attributes;
  if (const int error = pthread_attr_init(&attributes); error != 0) return error;
  int error = pthread_attr_setstacksize(&attributes, stack_bytes);
  if (error == 0) error = pthread_create(&thread, &attributes, run, start);
  pthread_attr_destroy(&attributes);
  return error;
}

}  // namespace

void set_thread_name(std::string_view name) noexcept {
  char text[kNameBytesMax + 1] = {};
  name.copy(text, kNameBytesMax);
  pthread_setname_np(pthread_self(), text);
}

Thread::Thread(std::string_view name, std::function<void()> body, std::size_t stack_bytes) {
  auto start = std::make_unique<Start>(Start{std::string(name), std::move(body)});
  pthread_t thread{};
  int error = create(thread, stack_bytes, start.get());
  if (error != 0 && stack_bytes > 0) error = create(thread, 0, start.get());
  if (error != 0) throw std::system_error(error, std::generic_category(), "starting a thread");
  static_cast<void>(start.release());  // the thread's
  thread_ = thread;
}

Thread::~Thread() { join(); }

Thread::Thread(Thread&& other) noexcept : thread_(std::exchange(other.thread_, std::nullopt)) {}

Thread& Thread::operator=(Thread&& other) noexcept {
  if (this == &other) return *this;
  join();
  thread_ = std::exchange(other.thread_, std::nullopt);
  return *this;
}

void Thread::join() noexcept {
  if (!thread_) return;
  pthread_join(*thread_, nullptr);
  thread_.reset();
}

}  // namespace paring
