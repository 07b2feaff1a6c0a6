// SPDX-License-Identifier: Apache-2.0
// libcurl, loaded when the first request is made: it brings thirty libraries with it, and most runs
// of the program need none of them. Internal to net. Thread-safe.
#pragma once

#include <curl/curl.h>

#include "base/result.h"

namespace paring::net {

// The functions of libcurl that are used here, under their names without "curl_".
struct CurlLibrary {
  decltype(&::curl_global_init) global_init = nullptr;
  decltype(&::curl_easy_init) easy_init = nullptr;
  decltype(&::curl_easy_cleanup) easy_cleanup = nullptr;
  decltype(&::curl_easy_reset) easy_reset = nullptr;
  decltype(&::curl_easy_perform) easy_perform = nullptr;
  decltype(&::curl_easy_strerror) easy_strerror = nullptr;
  decltype(&::curl_easy_setopt) easy_setopt_any = nullptr;
  decltype(&::curl_easy_getinfo) easy_getinfo_any = nullptr;
  decltype(&::curl_easy_pause) easy_pause = nullptr;
  decltype(&::curl_slist_append) slist_append = nullptr;
  decltype(&::curl_slist_free_all) slist_free_all = nullptr;
  decltype(&::curl_multi_init) multi_init = nullptr;
  decltype(&::curl_multi_cleanup) multi_cleanup = nullptr;
  decltype(&::curl_multi_add_handle) multi_add_handle = nullptr;
  decltype(&::curl_multi_remove_handle) multi_remove_handle = nullptr;
  decltype(&::curl_multi_info_read) multi_info_read = nullptr;
  decltype(&::curl_multi_socket_action) multi_socket_action = nullptr;
  decltype(&::curl_multi_setopt) multi_setopt_any = nullptr;

  // The variadic ones, with the one value that they take.
  template <typename Value>
  void easy_setopt(CURL* handle, CURLoption option, Value value) const {
    easy_setopt_any(handle, option, value);
  }
  template <typename Value>
  void easy_getinfo(CURL* handle, CURLINFO info, Value* value) const {
    easy_getinfo_any(handle, info, value);
  }
  template <typename Value>
  void multi_setopt(CURLM* multi, CURLMoption option, Value value) const {
    multi_setopt_any(multi, option, value);
  }
};

// Loads and starts the library once; the pointer stays valid to the end of the program.
// Unavailable: it is not installed, or too old; the message says what to install. Internal: it does
// not start.
Result<const CurlLibrary*> curl_library();

}  // namespace paring::net
