// SPDX-License-Identifier: Apache-2.0
#include "hub/hub_settings.h"

#include <fmt/format.h>

#include <string_view>

#include "base/file.h"
#include "base/text.h"
#include "io/printable.h"
#include "net/http_client.h"

namespace paring::hub {

namespace {

constexpr const char* kDefaultEndpoint = "https://huggingface.co";
constexpr std::size_t kTokenFileBytesMax = 4096;

std::string variable(const char* const* environment, std::string_view name) {
  for (const char* const* entry = environment; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    if (text.starts_with(name) && text.size() > name.size() && text[name.size()] == '=') {
      return std::string(text.substr(name.size() + 1));
    }
  }
  return {};
}

bool is_on(std::string_view text) {
  const std::string value = ascii_upper(text);
  return value == "1" || value == "ON" || value == "YES" || value == "TRUE";
}

std::string host_of(std::string_view url) {
  std::string_view rest = url.substr(url.find("://") + 3);
  rest = rest.substr(0, rest.find('/'));
  if (rest.starts_with('[')) return std::string(rest.substr(0, rest.find(']') + 1));
  return std::string(rest.substr(0, rest.find(':')));
}

Result<std::string> read_endpoint(const char* const* environment) {
  std::string endpoint = variable(environment, "HF_ENDPOINT");
  if (endpoint.empty()) return std::string(kDefaultEndpoint);
  while (endpoint.ends_with('/')) endpoint.pop_back();
  const bool has_scheme = endpoint.starts_with("https://") || endpoint.starts_with("http://");
  // '@' would hide the host behind a user name; the rest has no place in the base of an address.
  if (!has_scheme || host_of(endpoint).empty() ||
      endpoint.find_first_of("@?# \t\r\n") != std::string::npos) {
    return invalid_argument(
        fmt::format("HF_ENDPOINT is '{}', which is no base address", io::printable(endpoint)),
        fmt::format("it looks like {}", kDefaultEndpoint));
  }
  return endpoint;
}

Result<std::string> read_token(const char* const* environment, const std::string& home) {
  std::string token = variable(environment, "HF_TOKEN");
  std::string origin = "HF_TOKEN";
  if (token.empty()) token = variable(environment, "HUGGING_FACE_HUB_TOKEN");
  if (token.empty()) {
    origin = variable(environment, "HF_TOKEN_PATH");
    if (origin.empty()) origin = home + "/token";
    auto text = read_small_file(origin, kTokenFileBytesMax);
    if (!text && text.error().code == ErrorCode::kNotFound) return std::string();
    if (!text) return std::move(text.error());
    token = std::move(*text);
  }
  while (!token.empty() && (token.back() == '\n' || token.back() == '\r' || token.back() == ' ')) {
    token.pop_back();
  }
  if (!token.empty() && !net::is_token(token)) {
    return invalid_argument(fmt::format("the token of {} holds spaces or control bytes", origin),
                            "a token looks like hf_...");
  }
  return token;
}

}  // namespace

Result<HubSettings> read_hub_settings(const char* const* environment) {
  HubSettings settings;
  PARING_TRY(settings.endpoint, read_endpoint(environment));
  std::string home = variable(environment, "HF_HOME");
  if (home.empty()) {
    std::string cache = variable(environment, "XDG_CACHE_HOME");
    if (cache.empty()) {
      const std::string user = variable(environment, "HOME");
      if (user.empty()) {
        return invalid_argument("neither HF_HOME nor HOME is set, so there is no folder for models",
                                "set HF_HOME");
      }
      cache = user + "/.cache";
    }
    home = cache + "/huggingface";
  }
  settings.cache = variable(environment, "HF_HUB_CACHE");
  if (settings.cache.empty()) settings.cache = home + "/hub";
  PARING_TRY(settings.token, read_token(environment, home));
  settings.is_offline = is_on(variable(environment, "HF_HUB_OFFLINE"));
  const std::string host = host_of(settings.endpoint);
  const bool is_local = host == "localhost" || host == "127.0.0.1" || host == "[::1]";
  if (!settings.token.empty() && settings.endpoint.starts_with("http://") && !is_local) {
    return invalid_argument(
        fmt::format("HF_ENDPOINT is {}: the token would travel unencrypted", settings.endpoint),
        "use an https address, or unset HF_TOKEN");
  }
  return settings;
}

}  // namespace paring::hub
