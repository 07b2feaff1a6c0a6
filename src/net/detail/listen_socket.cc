// SPDX-License-Identifier: Apache-2.0
#include "net/detail/listen_socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string_view>

#include "base/file.h"
#include "base/text.h"

namespace paring::net::detail {

namespace {

constexpr int kBacklog = 1024;
constexpr std::string_view kUnixPrefix = "unix:";

struct Descriptor {
  int value = -1;
  ~Descriptor() {
    if (value >= 0) ::close(value);
  }
  int release() { return std::exchange(value, -1); }
};

Error listen_error(const std::string& where, int error_number) {
  if (error_number == EADDRINUSE) {
    return {ErrorCode::kUnavailable, fmt::format("{} is taken by another program", where),
            "stop that program, or choose another port"};
  }
  if (error_number == EACCES || error_number == EPERM) {
    return {ErrorCode::kUnavailable, fmt::format("this user may not listen on {}", where),
            "choose a port above 1023, or a folder that this user may write"};
  }
  if (error_number == EADDRNOTAVAIL) {
    return {ErrorCode::kUnavailable, fmt::format("{} is not an address of this machine", where),
            "127.0.0.1 serves this machine alone, 0.0.0.0 all networks it is in"};
  }
  return io_error(fmt::format("cannot listen on {}: {}", where, errno_text(error_number)));
}

// A socket file that nobody listens on any more is left over from a program that was killed.
bool is_left_over(const std::string& path, const sockaddr_un& address) {
  struct stat about{};
  if (::lstat(path.c_str(), &about) != 0 || !S_ISSOCK(about.st_mode)) return false;
  const Descriptor probe{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  if (probe.value < 0) return false;
  return ::connect(probe.value, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) !=
             0 &&
         errno == ECONNREFUSED;
}

Result<ListenSocket> listen_on_unix(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return invalid_argument(
        fmt::format("the path of a unix socket has {} bytes, it must have 1 to {}", path.size(),
                    sizeof(address.sun_path) - 1),
        "for example unix:/run/paring.sock");
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  const std::string where = "unix:" + escape_control(path);
  Descriptor socket{::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
  if (socket.value < 0) return listen_error(where, errno);
  if (is_left_over(path, address)) ::unlink(path.c_str());
  if (::bind(socket.value, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(socket.value, kBacklog) != 0) {
    return listen_error(where, errno);
  }
  return ListenSocket{
      .descriptor = socket.release(), .family = AF_UNIX, .url = where, .unix_path = path};
}

using AddressList = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

Result<AddressList> resolve(const std::string& address, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  std::string host = address;
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  addrinfo* found = nullptr;
  const int outcome = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (outcome != 0 || host.empty()) {
    return invalid_argument(
        fmt::format("'{}' is not an address to listen on: {}", escape_control(address),
                    host.empty() ? "it is empty" : ::gai_strerror(outcome)),
        "for example 127.0.0.1, 0.0.0.0, ::1 or unix:/run/paring.sock");
  }
  return AddressList(found, &freeaddrinfo);
}

std::string address_text(const sockaddr* address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address->sa_family == AF_INET) {
    const auto* four = reinterpret_cast<const sockaddr_in*>(address);
    ::inet_ntop(AF_INET, &four->sin_addr, text.data(), text.size());
  } else if (address->sa_family == AF_INET6) {
    const auto* six = reinterpret_cast<const sockaddr_in6*>(address);
    if (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr)) {
      ::inet_ntop(AF_INET, six->sin6_addr.s6_addr + 12, text.data(), text.size());
    } else {
      ::inet_ntop(AF_INET6, &six->sin6_addr, text.data(), text.size());
    }
  }
  return text.data();
}

Result<ListenSocket> listen_on_one(const addrinfo& entry) {
  const std::string host = address_text(entry.ai_addr);
  const std::string shown = entry.ai_family == AF_INET6 ? "[" + host + "]" : host;
  Descriptor socket{::socket(entry.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
  if (socket.value < 0) return listen_error(shown, errno);
  const int on = 1;
  const int off = 0;
  // A server that was restarted may listen while old connections are in TIME_WAIT.
  ::setsockopt(socket.value, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (entry.ai_family == AF_INET6) {
    ::setsockopt(socket.value, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
  }
  sockaddr_storage bound{};
  socklen_t bytes = sizeof(bound);
  if (::bind(socket.value, entry.ai_addr, entry.ai_addrlen) != 0 ||
      ::listen(socket.value, kBacklog) != 0 ||
      ::getsockname(socket.value, reinterpret_cast<sockaddr*>(&bound), &bytes) != 0) {
    const int error_number = errno;
    const auto port = entry.ai_family == AF_INET6
                          ? reinterpret_cast<const sockaddr_in6*>(entry.ai_addr)->sin6_port
                          : reinterpret_cast<const sockaddr_in*>(entry.ai_addr)->sin_port;
    return listen_error(fmt::format("{}:{}", shown, ntohs(port)), error_number);
  }
  const std::uint16_t port =
      ntohs(entry.ai_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6*>(&bound)->sin6_port
                                        : reinterpret_cast<const sockaddr_in*>(&bound)->sin_port);
  return ListenSocket{.descriptor = socket.release(),
                      .family = entry.ai_family,
                      .port = port,
                      .url = fmt::format("{}:{}", shown, port)};
}

}  // namespace

Result<ListenSocket> listen_on(const std::string& address, std::uint16_t port) {
  if (address.starts_with(kUnixPrefix)) return listen_on_unix(address.substr(kUnixPrefix.size()));
  PARING_TRY(const AddressList found, resolve(address, port));
  // A name may have an IPv6 address on a machine without IPv6: the first that works is taken.
  Result<ListenSocket> last = io_error("no address");
  for (const addrinfo* entry = found.get(); entry != nullptr; entry = entry->ai_next) {
    last = listen_on_one(*entry);
    if (last) return last;
  }
  return last;
}

Accepted accept_from(const ListenSocket& socket) {
  sockaddr_storage remote{};
  socklen_t bytes = sizeof(remote);
  Accepted accepted;
  accepted.descriptor = ::accept4(socket.descriptor, reinterpret_cast<sockaddr*>(&remote), &bytes,
                                  SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (accepted.descriptor < 0) {
    accepted.error_number = errno;
    return accepted;
  }
  accepted.remote_address =
      socket.family == AF_UNIX ? "unix" : address_text(reinterpret_cast<const sockaddr*>(&remote));
  return accepted;
}

void tune_connection(int descriptor, int family, double write_seconds) noexcept {
  if (family == AF_UNIX) return;
  const auto set = [&](int name, int value) {
    ::setsockopt(descriptor, IPPROTO_TCP, name, &value, sizeof(value));
  };
  const int on = 1;
  ::setsockopt(descriptor, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
  set(TCP_NODELAY, 1);  // a token goes out when it is there
  // A machine that vanished answers nothing: found out within a minute without data, or as soon as
  // sent data stay unacknowledged for as long as a reader may take nothing.
  set(TCP_KEEPIDLE, 30);
  set(TCP_KEEPINTVL, 10);
  set(TCP_KEEPCNT, 3);
  set(TCP_USER_TIMEOUT, static_cast<int>(write_seconds * 1000));
  // Bytes that the kernel takes before the network does: what more there is stays with us, where
  // stream_buffer_bytes sees it.
  set(TCP_NOTSENT_LOWAT, 128 << 10);
}

}  // namespace paring::net::detail
