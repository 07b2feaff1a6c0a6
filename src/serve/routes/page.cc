// SPDX-License-Identifier: Apache-2.0
// The chat page, the monitor and their files. Anybody may read them: they hold nothing, and what
// they ask of the server takes a key like any other request.
#include <string>

#include "serve/page/page_files.h"
#include "serve/routes/handlers.h"
#include "serve/server.h"

namespace paring::serve {

namespace {

void refuse(Server& server, const Call& call, const char* why) {
  server.refuse(call, {.status = 404, .code = "not_found", .message = why, .param = ""});
}

void send_file(Server& server, const Call& call, const PageFile& file) {
  if (!server.options().has_page)
    return refuse(server, call, "the pages of this server are switched off");
  // Asked for each time, and sent when it is another: a new program has its own files at once.
  const std::string tag = '"' + std::string(file.sha256.substr(0, 32)) + '"';
  net::HttpResponse response{.content_type = file.content_type};
  response.headers = {{"etag", tag},
                      {"cache-control", "no-cache"},
                      {"content-security-policy", kPagePolicy},
                      {"x-content-type-options", "nosniff"},
                      {"x-frame-options", "DENY"},
                      {"referrer-policy", "no-referrer"},
                      {"cross-origin-opener-policy", "same-origin"},
                      {"cross-origin-resource-policy", "same-origin"}};
  const std::string* known = call.exchange->head().find("if-none-match");
  if (known != nullptr && known->find(tag) != std::string::npos) {
    response.status = 304;
  } else {
    response.body = file.bytes;
  }
  server.respond(call, std::move(response));
}

}  // namespace

void serve_page(Server& server, const Call& call) { send_file(server, call, page_files().front()); }

void serve_monitor(Server& server, const Call& call) {
  send_file(server, call, *find_page_file("monitor.html"));
}

void serve_page_file(Server& server, const Call& call) {
  const PageFile* file = find_page_file(call.path_values[0]);
  if (file == nullptr) return refuse(server, call, "the page has no such file");
  send_file(server, call, *file);
}

}  // namespace paring::serve
