// SPDX-License-Identifier: Apache-2.0
// HttpPoster: bodies to other servers, one after the other, for a thread that waits for the answer.
// post() is for one thread at a time, hurry() for any.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "net/upstream_client.h"

namespace paring::monitor {

struct PostReply {
  int status = 0;  // of HTTP; 0: no answer
  std::optional<double> retry_after_s{};
};

// Whether the same may be taken later: no answer, 429, 502, 503, 504.
bool may_retry(const PostReply& reply) noexcept;
// "120" as seconds; nothing for a date.
std::optional<double> retry_after_of(std::string_view header) noexcept;

class HttpPoster {
 public:
  // `answer_seconds`: in which a post is answered. Errors of UpstreamClient::start().
  static Result<std::unique_ptr<HttpPoster>> start(double answer_seconds);

  PostReply post(const std::string& url, std::vector<net::HttpHeader> headers, std::string body);
  // All that is posted from now on is over within `seconds`.
  void hurry(double seconds);

 private:
  struct Shared;
  struct Sink;
  HttpPoster(std::unique_ptr<net::UpstreamClient> client, double answer_seconds);

  const double answer_seconds_;
  const std::shared_ptr<Shared> shared_;
  const std::unique_ptr<net::UpstreamClient> client_;
};

}  // namespace paring::monitor
