// SPDX-License-Identifier: Apache-2.0
#include "serve/access/browser_guard.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace paring::serve {
namespace {

// "" is no header.
bool is_refused(const std::string& host, const std::string& origin = "",
                const std::vector<std::string>& allowed = {},
                const std::string& address = "127.0.0.1") {
  net::HttpHead head;
  head.remote_address = address;
  if (!host.empty()) head.headers.push_back({"host", host});
  if (!origin.empty()) head.headers.push_back({"origin", origin});
  const auto refused = refuse_foreign_page(head, allowed);
  if (refused) {
    EXPECT_EQ(refused->status, 403);
    EXPECT_NE(refused->message.find("--cors-origins"), std::string::npos) << refused->message;
  }
  return refused.has_value();
}

TEST(BrowserGuard, ProgramsOfThisMachineAreServed) {
  for (const char* host :
       {"", "127.0.0.1:8000", "127.0.0.1", "[::1]:8000", "localhost:8000", "LOCALHOST",
        "me.localhost:80", "10.1.2.3", "paring:8000", "host.docker.internal:8000", "localhost."}) {
    EXPECT_FALSE(is_refused(host)) << host;
  }
}

TEST(BrowserGuard, ANameThatAnybodyCouldHaveRegisteredIsNone) {
  for (const char* host :
       {"evil.example.org", "evil.example.org:8000", "EVIL.example.", "1.2.3.4.evil.example.org",
        "127.0.0.1.nip.io:8000", "localhost.evil.example.org", "notlocalhost.org"}) {
    EXPECT_TRUE(is_refused(host)) << host;
    EXPECT_TRUE(is_refused(host, std::string("http://") + host)) << host;
    EXPECT_FALSE(is_refused(host, "", {"*"})) << host;
    EXPECT_FALSE(is_refused(host, "", {}, "unix")) << host;
  }
  EXPECT_FALSE(is_refused("Models.example.org:8000", "", {"https://models.example.org"}));
  EXPECT_TRUE(is_refused("models.example.org", "", {"https://other.example.org"}));
}

TEST(BrowserGuard, ThePageOfTheServerItselfIsServedAndThoseOfOthersAreNot) {
  EXPECT_FALSE(is_refused("127.0.0.1:8000", "http://127.0.0.1:8000"));
  EXPECT_FALSE(is_refused("localhost:8000", "http://LOCALHOST:8000"));
  EXPECT_FALSE(is_refused("[::1]:8000", "http://[::1]:8000"));
  for (const char* origin :
       {"https://evil.example.org", "http://127.0.0.1:3000", "http://localhost:8000", "null",
        "chrome-extension://abc", "http://127.0.0.1"}) {
    EXPECT_TRUE(is_refused("127.0.0.1:8000", origin)) << origin;
    EXPECT_FALSE(is_refused("127.0.0.1:8000", origin, {"*"})) << origin;
    EXPECT_FALSE(is_refused("127.0.0.1:8000", origin, {"https://x.example.org", origin})) << origin;
  }
  EXPECT_TRUE(is_refused("127.0.0.1:8000", "http://sub.ok.example.org", {"http://ok.example.org"}));
}

}  // namespace
}  // namespace paring::serve
