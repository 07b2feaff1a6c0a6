// SPDX-License-Identifier: Apache-2.0
#include "net/curl_library.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <string>

namespace paring::net {

namespace {

// The ABI that the header at hand describes; unchanged since curl 7.16 (2006).
constexpr const char* kName = "libcurl.so.4";
constexpr const char* kHint =
    "downloads and 'paring monitor' need it: install libcurl (Debian: apt-get install libcurl4); "
    "everything else works without";

Error missing() {
  const char* why = ::dlerror();
  return Error{ErrorCode::kUnavailable,
               fmt::format("the HTTP library {} cannot be used: {}", kName,
                           why == nullptr ? "no reason is given" : why),
               kHint};
}

template <typename Function>
bool find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  return function != nullptr;
}

Result<const CurlLibrary*> load() {
  static CurlLibrary curl;
  // Never closed: it may have started threads, and handlers for the end of the program.
  void* library = ::dlopen(kName, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return missing();
  const bool is_whole = find(library, "curl_global_init", curl.global_init) &&
                        find(library, "curl_easy_init", curl.easy_init) &&
                        find(library, "curl_easy_cleanup", curl.easy_cleanup) &&
                        find(library, "curl_easy_reset", curl.easy_reset) &&
                        find(library, "curl_easy_perform", curl.easy_perform) &&
                        find(library, "curl_easy_strerror", curl.easy_strerror) &&
                        find(library, "curl_easy_setopt", curl.easy_setopt_any) &&
                        find(library, "curl_easy_getinfo", curl.easy_getinfo_any) &&
                        find(library, "curl_easy_pause", curl.easy_pause) &&
                        find(library, "curl_slist_append", curl.slist_append) &&
                        find(library, "curl_slist_free_all", curl.slist_free_all) &&
                        find(library, "curl_multi_init", curl.multi_init) &&
                        find(library, "curl_multi_cleanup", curl.multi_cleanup) &&
                        find(library, "curl_multi_add_handle", curl.multi_add_handle) &&
                        find(library, "curl_multi_remove_handle", curl.multi_remove_handle) &&
                        find(library, "curl_multi_info_read", curl.multi_info_read) &&
                        find(library, "curl_multi_socket_action", curl.multi_socket_action) &&
                        find(library, "curl_multi_setopt", curl.multi_setopt_any);
  if (!is_whole) return missing();
  if (curl.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
    return Error{ErrorCode::kInternal, fmt::format("the HTTP library {} does not start", kName)};
  }
  return &curl;
}

}  // namespace

Result<const CurlLibrary*> curl_library() {
  static const Result<const CurlLibrary*> loaded = load();
  return loaded;
}

}  // namespace paring::net
