// SPDX-License-Identifier: Apache-2.0
// Bytes of a connection to requests, without sockets and threads. Boost.Beast parses; what is added
// here only refuses more: everything that RFC 9112 lets a lenient parser accept and that another
// parser before us could have read differently (section 11.2, request smuggling).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "net/detail/target.h"
#include "net/http_message.h"

namespace paring::net::detail {

struct ParserLimits {
  std::size_t header_bytes_max = 32768;
  std::size_t headers_max = 100;
  std::size_t target_bytes_max = 8192;
};

// What the head says of the message beside its fields.
struct Framing {
  bool is_keep_alive = false;
  bool has_body = false;                        // one follows, not empty as far as one can tell
  std::optional<std::uint64_t> content_length;  // none for a chunked body
  bool expects_continue = false;
};

// A connection has one, for one request after the other.
class RequestParser {
 public:
  explicit RequestParser(const ParserLimits& limits);
  ~RequestParser();

  enum class Step { kNeedMore, kDone, kRefused };

  // Forgets the last request.
  void reset();
  // Looks for a complete head at the start of `data`, which holds all bytes since reset(). kDone:
  // head() and framing() are set, and the head was the first *consumed bytes.
  Step parse_head(std::string_view data, std::size_t* consumed);
  // Takes bytes of the body. Also for kNeedMore some of `data` may have been consumed; the rest
  // must be there again, at the start, in the next call. REQUIRES: parse_head() gave kDone and
  // has_body.
  Step parse_body(std::string_view data, std::size_t* consumed);

  // kRefused (413) when the body becomes longer. No limit before the first call.
  void set_body_limit(std::size_t bytes);
  // Bytes of the body are counted and not kept.
  void discard_body();

  HttpHead& head();
  const Framing& framing() const;
  std::string& body();
  std::uint64_t body_bytes() const;  // so far
  const Refusal& refusal() const;    // after kRefused

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace paring::net::detail
