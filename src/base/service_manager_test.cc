// SPDX-License-Identifier: Apache-2.0
#include "base/service_manager.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string>

namespace paring {
namespace {

// Stands for systemd: a datagram socket with an abstract name.
class StandIn {
 public:
  StandIn() : name_("@paring-test-" + std::to_string(getpid())) {
    descriptor_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path + 1, name_.data() + 1, name_.size() - 1);
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name_.size());
    EXPECT_EQ(bind(descriptor_, reinterpret_cast<const sockaddr*>(&address), size), 0);
    const timeval patience = {.tv_sec = 5, .tv_usec = 0};
    setsockopt(descriptor_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  }
  ~StandIn() { close(descriptor_); }
  StandIn(const StandIn&) = delete;
  StandIn& operator=(const StandIn&) = delete;

  const std::string& name() const { return name_; }
  // Empty: nothing came within five seconds.
  std::string next(int flags = 0) const {
    char buffer[512];
    const ssize_t bytes = recv(descriptor_, buffer, sizeof(buffer), flags);
    return bytes < 0 ? std::string() : std::string(buffer, static_cast<std::size_t>(bytes));
  }

 private:
  std::string name_;
  int descriptor_;
};

TEST(ServiceManager, IsToldInItsOwnWords) {
  const StandIn systemd;
  const ServiceManager manager({.socket = systemd.name()});
  manager.tell_status("loads");
  manager.tell_ready("serves chat\nREADY=0");
  manager.tell_alive();
  manager.tell_stopping("drains");
  EXPECT_EQ(systemd.next(), "STATUS=loads\n");
  EXPECT_EQ(systemd.next(), "READY=1\nSTATUS=serves chat\\nREADY=0\n");
  EXPECT_EQ(systemd.next(), "WATCHDOG=1\n");
  EXPECT_EQ(systemd.next(), "STOPPING=1\nSTATUS=drains\n");
}

TEST(ServiceManager, ThatIsGoneOrNoneHoldsNobodyUp) {
  ServiceManager({}).tell_ready("x");
  ServiceManager({.socket = "/no/such/socket"}).tell_ready("x");
  ServiceManager({.socket = "/" + std::string(300, 'x')}).tell_ready("x");
}

class Environment : public testing::Test {
 protected:
  void TearDown() override {
    for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) unsetenv(name);
  }
  static ServiceManager with(const char* socket, const char* microseconds, const char* process) {
    setenv("NOTIFY_SOCKET", socket, 1);
    setenv("WATCHDOG_USEC", microseconds, 1);
    setenv("WATCHDOG_PID", process, 1);
    return ServiceManager::from_environment();
  }
};

TEST_F(Environment, SaysWhoWatches) {
  EXPECT_FALSE(ServiceManager::from_environment().is_there());
  const std::string self = std::to_string(getpid());
  EXPECT_TRUE(with("/run/x", "", "").is_there());
  EXPECT_FALSE(with("", "1000000", "").is_there());
  EXPECT_FALSE(with("vsock:2:1", "1000000", "").is_there());
  EXPECT_EQ(with("@x", "2500000", "").watchdog_seconds(), 2.5);
  EXPECT_EQ(with("@x", "2500000", self.c_str()).watchdog_seconds(), 2.5);
  for (const char* nothing : {"", "0", "x", "-5", "1s"}) {
    EXPECT_FALSE(with("@x", nothing, "").watchdog_seconds()) << nothing;
  }
  EXPECT_FALSE(with("@x", "2500000", "1").watchdog_seconds()) << "it watches another process";
  EXPECT_FALSE(with("", "2500000", "").watchdog_seconds());
}

TEST(ServiceWatchdog, SpeaksOnlyForAProcessThatIsAlive) {
  const StandIn systemd;
  const ServiceManager manager({.socket = systemd.name(), .watchdog_seconds = 0.02});
  std::atomic<bool> is_alive{true};
  std::atomic<int> asked{0};
  const ServiceWatchdog watchdog(manager, [&] {
    ++asked;
    return is_alive.load();
  });
  for (int i = 0; i < 3; ++i) EXPECT_EQ(systemd.next(), "WATCHDOG=1\n");
  is_alive = false;
  std::string last = systemd.next();
  while (last == "WATCHDOG=1\n") last = systemd.next();
  EXPECT_EQ(last, "STATUS=no step for too long\n");
  const int before = asked;
  while (asked < before + 3) usleep(1000);
  EXPECT_EQ(systemd.next(MSG_DONTWAIT), "") << "it must be killed now";
  is_alive = true;
  EXPECT_EQ(systemd.next(), "WATCHDOG=1\n");
}

}  // namespace
}  // namespace paring
