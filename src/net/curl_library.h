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

  // The variadic two, with the one value that they take.
  template <typename Value>
  void easy_setopt(CURL* handle, CURLoption option, Value value) const {
    easy_setopt_any(handle, option, value);
  }
  template <typename Value>
  void easy_getinfo(CURL* handle, CURLINFO info, Value* value) const {
    easy_getinfo_any(handle, info, value);
  }
};

// Loads and starts the library once; the pointer stays valid to the end of the program.
// Unavailable: it is not installed, or too old; the message says what to install. Internal: it does
// not start.
Result<const CurlLibrary*> curl_library();

}  // namespace paring::net
