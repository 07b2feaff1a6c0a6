// SPDX-License-Identifier: Apache-2.0
// The files of the chat page and the monitor, which are part of the program. Stateless.
#pragma once

#include <span>
#include <string_view>

namespace paring::serve {

struct PageFile {
  std::string_view name;  // "index.html"
  const char* content_type;
  std::string_view bytes;
  std::string_view sha256;  // of the bytes, in hexadecimal
};

// The chat page itself is the first, the monitor "monitor.html".
std::span<const PageFile> page_files() noexcept;
// Null: there is none of that name.
const PageFile* find_page_file(std::string_view name) noexcept;

// What the page may do in a browser (Content Security Policy Level 3): its own files and its own
// server, nothing inline, in nobody's frame, and no text that becomes markup.
inline constexpr const char* kPagePolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'";

}  // namespace paring::serve
