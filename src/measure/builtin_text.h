// SPDX-License-Identifier: Apache-2.0
// The texts compiled into the binary, so that `optimize` needs no file but the model. What they
// hold, from where and under which licence: data/manifest.json and data/README.md. Neither shares
// 13 consecutive words with the other or with an evaluation text (tests/test_texts.py).
// Immutable, safe from any thread.
#pragma once

#include <string_view>

namespace paring::measure {

// About 300 KB (some 75,000 tokens of a 49,000-token vocabulary), UTF-8. Every prefix has about
// the same mix of prose, instructions, code, stories, mathematics and other languages.
std::string_view calibration_text() noexcept;
// About 65 KB of the same mix. Only for judging a result that was searched on calibration_text().
std::string_view holdout_text() noexcept;

// SHA-256 of the bytes above, 64 lower-case hexadecimal digits.
std::string_view calibration_text_sha256() noexcept;
std::string_view holdout_text_sha256() noexcept;

}  // namespace paring::measure
