// SPDX-License-Identifier: Apache-2.0
// Routes against the description that clients get of them.
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "base/text.h"
#include "serve/route.h"
#include "serve/wire/endpoints.h"
#include "serve/wire/openapi.h"

namespace paring::serve {
namespace {

TEST(Routes, WhatIsDescribedIsServedInItsProtocol) {
  for (const wire::Endpoint& endpoint : wire::endpoints()) {
    const auto route = std::find_if(routes().begin(), routes().end(), [&](const Route& each) {
      return std::string_view(each.path) == endpoint.path &&
             std::string_view(each.method) == endpoint.method;
    });
    ASSERT_NE(route, routes().end()) << endpoint.path;
    EXPECT_EQ(static_cast<int>(protocol_of(route->path)), static_cast<int>(endpoint.protocol))
        << endpoint.path;
    EXPECT_EQ(route->policy.body_bytes_max > 0, endpoint.request != nullptr) << endpoint.path;
  }
}

TEST(Routes, EveryPathOfTheDocumentIsServed) {
  const auto document = nlohmann::json::parse(wire::openapi_document("1"));
  for (const auto& [path, operations] : document["paths"].items()) {
    for (const auto& [method, operation] : operations.items()) {
      const bool is_served =
          std::any_of(routes().begin(), routes().end(), [&, p = path, m = method](const Route& r) {
            return r.path == p && r.method == ascii_upper(m);
          });
      EXPECT_TRUE(is_served) << method << ' ' << path;
    }
  }
}

TEST(Routes, AreAllInTheDocumentButThePagesForPeople) {
  const std::set<std::string> pages = {"/", "/monitor", "/page/{file}"};
  const auto document = nlohmann::json::parse(wire::openapi_document("1"));
  for (const Route& route : routes()) {
    const bool is_described = document["paths"].contains(route.path) &&
                              document["paths"][route.path].contains(ascii_lower(route.method));
    EXPECT_NE(is_described, pages.contains(route.path))
        << route.method << ' ' << route.path << ": describe it in wire/endpoints.cc";
  }
}

}  // namespace
}  // namespace paring::serve
