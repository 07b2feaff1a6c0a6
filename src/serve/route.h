// SPDX-License-Identifier: Apache-2.0
// A route: method, path, what it needs, and the function that serves it. A route without a policy
// does not compile; routes.cc holds the one list of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/http_server.h"
#include "serve/access/principal.h"
#include "serve/access/scopes.h"
#include "serve/api_error.h"
#include "serve/request_record.h"
#include "serve/wire/endpoints.h"

namespace paring::serve {

class Server;
struct AnswerUsage;

// Who may use a route and how much it may be sent. There is no default, on purpose.
struct RoutePolicy {
  enum class Takes : std::uint8_t {
    kBody,
    kPacked,  // a body that may come compressed by gzip; the route unpacks it
    kWork,    // a body that a model computes for: a key's rates hold, and the request has a row in
              // the database of traffic
    kTokens,  // a body that a tokenizer works for: the rates hold
    kFile,    // a body with a file in it, which is read as it comes and bounded by FileLimits
    // Nothing, and is answered on the I/O thread: probes, which tell of the process even while
    // every thread that reads requests is at work.
    kNothing,
  };
  constexpr RoutePolicy(std::optional<Scope> needed_scope, std::size_t body_bytes,
                        Takes what = Takes::kBody)
      : scope(needed_scope), body_bytes_max(body_bytes), takes(what) {}
  constexpr bool is_rated() const { return takes == Takes::kWork || takes == Takes::kTokens; }
  std::optional<Scope> scope;  // absent: anybody, without a key
  std::size_t body_bytes_max;  // beside the file
  Takes takes;
};

// One request on its way through a route, over HTTP or as a line of a batch: the exchange knows.
// Copies share it.
struct Call {
  std::shared_ptr<net::Exchange> exchange;
  Principal principal;
  std::string id;                                     // of the request, in responses and the log
  wire::Protocol protocol = wire::Protocol::kOpenAi;  // of errors
  std::vector<std::string> path_values;               // of the {...} segments
  std::shared_ptr<RequestRecord> record;              // for the log; never null
  int priority = 0;                                   // at most: 0 interactive, -1 a batch's line
  // Called once with what is charged for the work, before it is answered; empty: nobody asks. Not
  // called for what was refused.
  std::function<void(const AnswerUsage&)> on_usage = nullptr;
};

using RouteFunction = void (*)(Server& server, const Call& call);

struct Route {
  const char* method;
  const char* path;  // "/v1/models/{model}"
  RoutePolicy policy;
  RouteFunction serve;
};

// In the order of the reference page.
const std::vector<Route>& routes();

struct RouteMatch {
  const Route* route = nullptr;     // null: none
  std::vector<std::string> values;  // of the {...} segments
  std::string allowed;              // methods of the path, when only the method is wrong
};
// Whose error bodies a path has, whether or not there is a route.
wire::Protocol protocol_of(std::string_view path) noexcept;
RouteMatch match_route(std::string_view method, const std::vector<std::string>& segments);

}  // namespace paring::serve
