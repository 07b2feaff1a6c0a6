// SPDX-License-Identifier: Apache-2.0
#include "net/upstream_client.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "base/clock.h"
#include "base/text.h"
#include "base/thread.h"
#include "net/curl_library.h"

namespace paring::net {

namespace {

constexpr int kFirstFinalStatus = 200;
constexpr std::size_t kIdleHandlesMax = 64;
constexpr int kEventsAtOnce = 64;
constexpr double kMillisecondsPerSecond = 1000;

std::string_view trimmed(std::string_view text) {
  const auto is_space = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

UpstreamFailure failure_of(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
      return UpstreamFailure::kConnect;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_PEER_FAILED_VERIFICATION:
      return UpstreamFailure::kTls;
    case CURLE_OPERATION_TIMEDOUT:
      return UpstreamFailure::kTimeout;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
      return UpstreamFailure::kMalformed;
    default:
      return UpstreamFailure::kCut;
  }
}

// One request on its way. Of the loop's thread.
struct Transfer {
  const CurlLibrary* curl = nullptr;
  CURL* handle = nullptr;
  curl_slist* lines = nullptr;
  std::uint64_t id = 0;
  UpstreamRequest request;
  std::shared_ptr<UpstreamSink> sink;
  std::vector<HttpHeader> headers;
  int status = 0;
  bool has_head = false;
  bool is_stopped = false;  // by the sink
  std::array<char, CURL_ERROR_SIZE> detail{};
};

std::size_t on_header(char* data, std::size_t size, std::size_t count, void* user) noexcept {
  auto& transfer = *static_cast<Transfer*>(user);
  const std::size_t bytes = size * count;
  const std::string_view line(data, bytes);
  if (transfer.has_head) return bytes;  // of trailers
  if (line.starts_with("HTTP/")) {
    transfer.headers.clear();
    transfer.status = 0;
    const std::size_t blank = line.find(' ');
    if (blank != std::string_view::npos) {
      std::from_chars(line.data() + blank + 1, line.data() + line.size(), transfer.status);
    }
    return bytes;
  }
  const std::string_view text = trimmed(line);
  if (!text.empty()) {
    const std::size_t colon = text.find(':');
    if (colon != std::string_view::npos) {
      transfer.headers.push_back(
          {ascii_lower(text.substr(0, colon)), std::string(trimmed(text.substr(colon + 1)))});
    }
    return bytes;
  }
  if (transfer.status < kFirstFinalStatus) return bytes;
  transfer.has_head = true;
  const auto wish = transfer.sink->on_head(transfer.status, std::move(transfer.headers));
  transfer.is_stopped = wish == UpstreamSink::Wish::kStop;
  return transfer.is_stopped ? 0 : bytes;
}

std::size_t on_body(char* data, std::size_t size, std::size_t count, void* user) noexcept {
  auto& transfer = *static_cast<Transfer*>(user);
  const std::size_t bytes = size * count;
  switch (transfer.sink->on_bytes({data, bytes})) {
    case UpstreamSink::Wish::kMore:
      return bytes;
    case UpstreamSink::Wish::kWait:
      return CURL_WRITEFUNC_PAUSE;
    case UpstreamSink::Wish::kStop:
      break;
  }
  transfer.is_stopped = true;
  return 0;
}

}  // namespace

const char* upstream_failure_name(UpstreamFailure failure) noexcept {
  switch (failure) {
    case UpstreamFailure::kConnect:
      return "connect";
    case UpstreamFailure::kTls:
      return "tls";
    case UpstreamFailure::kTimeout:
      return "timeout";
    case UpstreamFailure::kCut:
      return "cut";
    case UpstreamFailure::kMalformed:
      return "malformed";
    case UpstreamFailure::kCancelled:
      break;
  }
  return "cancelled";
}

class UpstreamClient::Loop {
 public:
  Loop(const CurlLibrary& curl, const Options& options) : curl_(curl), options_(options) {}
  ~Loop() {
    stop();
    for (CURL* handle : idle_) curl_.easy_cleanup(handle);
    if (multi_ != nullptr) curl_.multi_cleanup(multi_);
    if (epoll_ >= 0) ::close(epoll_);
    if (wake_ >= 0) ::close(wake_);
  }
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  Result<void> start() {
    multi_ = curl_.multi_init();
    epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
    wake_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (multi_ == nullptr || epoll_ < 0 || wake_ < 0) {
      return Error{ErrorCode::kIo, "there are no descriptors left for requests to other servers"};
    }
    epoll_event event{.events = EPOLLIN, .data = {.fd = wake_}};
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event);
    curl_.multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &Loop::on_socket);
    curl_.multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
    curl_.multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &Loop::on_timer);
    curl_.multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
    curl_.multi_setopt(multi_, CURLMOPT_MAXCONNECTS, static_cast<long>(options_.connections_kept));
    thread_ = Thread(thread_names::kUpstream, [this] { run(); });
    return {};
  }

  std::uint64_t new_id() { return ++last_id_; }
  void send(std::uint64_t id, UpstreamRequest request, std::shared_ptr<UpstreamSink> sink) {
    auto transfer = std::make_unique<Transfer>();
    transfer->request = std::move(request);
    transfer->sink = std::move(sink);
    transfer->id = id;
    add({Order::Kind::kSend, id, std::move(transfer)});
  }
  void cancel(std::uint64_t id) { add({Order::Kind::kCancel, id, nullptr}); }
  void resume(std::uint64_t id) { add({Order::Kind::kResume, id, nullptr}); }

 private:
  struct Order {
    enum class Kind : std::uint8_t { kSend, kCancel, kResume };
    Kind kind;
    std::uint64_t id;
    std::unique_ptr<Transfer> transfer;
  };

  void add(Order order) {
    bool is_first = false;
    {
      const std::lock_guard lock(mutex_);
      is_first = orders_.empty();
      orders_.push_back(std::move(order));
    }
    if (is_first) wake();
  }
  void wake() const {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(wake_, &one, sizeof(one));
  }
  void stop() {
    is_stopping_ = true;
    if (wake_ >= 0) wake();
    thread_.join();
  }

  static int on_socket(CURL* /*easy*/, curl_socket_t socket, int what, void* user,
                       void* known) noexcept {
    auto& loop = *static_cast<Loop*>(user);
    if (what == CURL_POLL_REMOVE) {
      ::epoll_ctl(loop.epoll_, EPOLL_CTL_DEL, socket, nullptr);
      return 0;
    }
    epoll_event event{.events = 0, .data = {.fd = socket}};
    if ((what & CURL_POLL_IN) != 0) event.events |= EPOLLIN;
    if ((what & CURL_POLL_OUT) != 0) event.events |= EPOLLOUT;
    // A number may have been closed, and given to another socket, without a word.
    if (known == nullptr || ::epoll_ctl(loop.epoll_, EPOLL_CTL_MOD, socket, &event) != 0) {
      if (::epoll_ctl(loop.epoll_, EPOLL_CTL_ADD, socket, &event) != 0) {
        ::epoll_ctl(loop.epoll_, EPOLL_CTL_MOD, socket, &event);
      }
    }
    return 0;
  }
  static int on_timer(CURLM* /*multi*/, long milliseconds, void* user) noexcept {
    auto& loop = *static_cast<Loop*>(user);
    loop.due_at_.reset();
    if (milliseconds >= 0) {
      loop.due_at_ = system_clock().monotonic_seconds() +
                     static_cast<double>(milliseconds) / kMillisecondsPerSecond;
    }
    return 0;
  }

  void run() {
    while (!is_stopping_) {
      wait();
      take_orders();
      // What is added, or was to be waited for, is begun at once.
      while (due_at_ && *due_at_ <= system_clock().monotonic_seconds() && !is_stopping_) {
        due_at_.reset();
        act(CURL_SOCKET_TIMEOUT, 0);
      }
      finish_done();
    }
    take_orders();
    while (!transfers_.empty()) {
      end(transfers_.begin()->second->id, {UpstreamFailure::kCancelled, "the program ends"});
    }
  }

  void wait() {
    int milliseconds = -1;
    if (due_at_) {
      const double left = *due_at_ - system_clock().monotonic_seconds();
      milliseconds = std::max(0, static_cast<int>(std::ceil(left * kMillisecondsPerSecond)));
    }
    std::array<epoll_event, kEventsAtOnce> events;
    const int count = ::epoll_wait(epoll_, events.data(), kEventsAtOnce, milliseconds);
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      if (event.data.fd == wake_) {
        std::uint64_t times = 0;
        [[maybe_unused]] const auto taken = ::read(wake_, &times, sizeof(times));
        continue;
      }
      int what = 0;
      if ((event.events & (EPOLLIN | EPOLLHUP)) != 0) what |= CURL_CSELECT_IN;
      if ((event.events & EPOLLOUT) != 0) what |= CURL_CSELECT_OUT;
      if ((event.events & EPOLLERR) != 0) what |= CURL_CSELECT_ERR;
      act(event.data.fd, what);
    }
  }
  void act(curl_socket_t socket, int what) {
    int running = 0;
    curl_.multi_socket_action(multi_, socket, what, &running);
  }

  void take_orders() {
    std::vector<Order> orders;
    {
      const std::lock_guard lock(mutex_);
      orders.swap(orders_);
    }
    for (Order& order : orders) {
      if (order.kind == Order::Kind::kSend) {
        begin(std::move(order.transfer));
        continue;
      }
      const auto found = transfers_.find(order.id);
      if (found == transfers_.end()) continue;
      if (order.kind == Order::Kind::kCancel) {
        end(order.id, {UpstreamFailure::kCancelled, ""});
      } else {
        curl_.easy_pause(found->second->handle, CURLPAUSE_CONT);
      }
    }
  }

  void begin(std::unique_ptr<Transfer> transfer) {
    transfer->curl = &curl_;
    if (idle_.empty()) {
      transfer->handle = curl_.easy_init();
    } else {
      transfer->handle = idle_.back();
      idle_.pop_back();
    }
    if (transfer->handle == nullptr) {
      transfer->sink->on_end({UpstreamFailure::kConnect, "the HTTP library does not start"});
      return;
    }
    set_up(*transfer);
    Transfer* const added = transfer.get();
    transfers_.emplace(added->id, std::move(transfer));
    if (curl_.multi_add_handle(multi_, added->handle) != CURLM_OK) {
      end(added->id, {UpstreamFailure::kConnect, "the HTTP library does not take the request"});
    }
  }

  void set_up(Transfer& transfer) const {
    CURL* const handle = transfer.handle;
    const UpstreamRequest& request = transfer.request;
    curl_.easy_setopt(handle, CURLOPT_PRIVATE, &transfer);
    curl_.easy_setopt(handle, CURLOPT_URL, request.url.c_str());
    curl_.easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_.easy_setopt(handle, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    curl_.easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    curl_.easy_setopt(handle, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_.easy_setopt(handle, CURLOPT_PATH_AS_IS, 1L);
    curl_.easy_setopt(handle, CURLOPT_CONNECTTIMEOUT_MS,
                      static_cast<long>(options_.connect_seconds * kMillisecondsPerSecond));
    curl_.easy_setopt(handle, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_.easy_setopt(handle, CURLOPT_LOW_SPEED_TIME, static_cast<long>(options_.stall_seconds));
    curl_.easy_setopt(handle, CURLOPT_ERRORBUFFER, transfer.detail.data());
    curl_.easy_setopt(handle, CURLOPT_HEADERFUNCTION, on_header);
    curl_.easy_setopt(handle, CURLOPT_HEADERDATA, &transfer);
    curl_.easy_setopt(handle, CURLOPT_WRITEFUNCTION, on_body);
    curl_.easy_setopt(handle, CURLOPT_WRITEDATA, &transfer);
    // As other programs that use OpenSSL find their certificates.
    if (const char* file = std::getenv("SSL_CERT_FILE"); file != nullptr && *file != '\0') {
      curl_.easy_setopt(handle, CURLOPT_CAINFO, file);
    }
    if (!request.body.empty() || request.method == "POST") {
      curl_.easy_setopt(handle, CURLOPT_POSTFIELDS, request.body.data());
      curl_.easy_setopt(handle, CURLOPT_POSTFIELDSIZE_LARGE,
                        static_cast<curl_off_t>(request.body.size()));
    }
    if (request.method == "HEAD") {
      curl_.easy_setopt(handle, CURLOPT_NOBODY, 1L);
    } else if (request.method != "POST") {
      curl_.easy_setopt(handle, CURLOPT_CUSTOMREQUEST, request.method.c_str());
    }
    const auto append = [&](const std::string& line) {
      transfer.lines = curl_.slist_append(transfer.lines, line.c_str());
    };
    for (const HttpHeader& header : request.headers) {
      append(header.value.empty() ? header.name + ";" : header.name + ": " + header.value);
    }
    // What libcurl would add of its own.
    for (const char* name : {"accept", "content-type", "expect"}) {
      const auto is_it = [&](const HttpHeader& header) { return header.name == name; };
      if (std::none_of(request.headers.begin(), request.headers.end(), is_it)) {
        append(std::string(name) + ":");
      }
    }
    curl_.easy_setopt(handle, CURLOPT_HTTPHEADER, transfer.lines);
  }

  void finish_done() {
    int left = 0;
    while (const CURLMsg* message = curl_.multi_info_read(multi_, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      const CURLcode code = message->data.result;
      char* known = nullptr;
      curl_.easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &known);
      const auto& transfer = *reinterpret_cast<Transfer*>(known);
      UpstreamEnd ended;
      if (transfer.is_stopped) {
        ended = {UpstreamFailure::kCancelled, ""};
      } else if (code != CURLE_OK) {
        const std::string_view detail = transfer.detail.data();
        ended = {failure_of(code),
                 detail.empty() ? curl_.easy_strerror(code) : std::string(detail)};
      } else if (!transfer.has_head) {
        ended = {UpstreamFailure::kMalformed, "the answer has no head"};
      }
      end(transfer.id, ended);
    }
  }

  void end(std::uint64_t id, const UpstreamEnd& ended) {
    const auto found = transfers_.find(id);
    const std::unique_ptr<Transfer> transfer = std::move(found->second);
    transfers_.erase(found);
    curl_.multi_remove_handle(multi_, transfer->handle);
    curl_.slist_free_all(transfer->lines);
    if (idle_.size() < kIdleHandlesMax) {
      curl_.easy_reset(transfer->handle);
      idle_.push_back(transfer->handle);
    } else {
      curl_.easy_cleanup(transfer->handle);
    }
    transfer->sink->on_end(ended);
  }

  const CurlLibrary& curl_;
  const Options options_;
  int epoll_ = -1;
  int wake_ = -1;
  std::atomic<bool> is_stopping_{false};
  std::atomic<std::uint64_t> last_id_{0};
  std::mutex mutex_;
  std::vector<Order> orders_;  // guarded by mutex_

  // Of the thread.
  CURLM* multi_ = nullptr;
  std::optional<double> due_at_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Transfer>> transfers_;
  std::vector<CURL*> idle_;
  Thread thread_;
};

UpstreamClient::UpstreamClient(std::unique_ptr<Loop> loop) : loop_(std::move(loop)) {}
UpstreamClient::~UpstreamClient() = default;

Result<std::unique_ptr<UpstreamClient>> UpstreamClient::start(const Options& options) {
  PARING_TRY(const CurlLibrary* curl, curl_library());
  auto loop = std::make_unique<Loop>(*curl, options);
  PARING_TRY_VOID(loop->start());
  return std::unique_ptr<UpstreamClient>(new UpstreamClient(std::move(loop)));
}

std::uint64_t UpstreamClient::new_id() { return loop_->new_id(); }
void UpstreamClient::send(std::uint64_t id, UpstreamRequest request,
                          std::shared_ptr<UpstreamSink> sink) {
  loop_->send(id, std::move(request), std::move(sink));
}
void UpstreamClient::cancel(std::uint64_t id) { loop_->cancel(id); }
void UpstreamClient::resume(std::uint64_t id) { loop_->resume(id); }

}  // namespace paring::net
