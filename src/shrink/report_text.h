// SPDX-License-Identifier: Apache-2.0
// Values and foreign text as they stand in the HTML report. Everything that returns markup is plain
// ASCII or valid UTF-8 and well-formed as HTML text, as attribute value in double quotes and as
// XML. Pure functions: the same input gives the same characters on every machine and in every
// locale.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "shrink/optimize.h"

namespace paring::shrink::report {

inline constexpr std::string_view kNoValue = "n/a";
inline constexpr std::string_view kTimes = "&#215;";
inline constexpr std::string_view kMinus = "&#8722;";
inline constexpr std::string_view kArrow = "&#8594;";
inline constexpr std::string_view kAtMost = "&#8804;";
inline constexpr std::string_view kAtLeast = "&#8805;";
inline constexpr std::string_view kDash = "&#8212;";
inline constexpr std::string_view kStar = "&#9733;";

// Markup characters as references; control characters, broken UTF-8, direction overrides and code
// points that XML forbids as \xNN or \u{NNNN}, so that a name cannot pose as another.
std::string escape(std::string_view text);
// As escape(), of the first `characters_max` code points; "..." marks a cut.
std::string escape_cut(std::string_view text, std::size_t characters_max);
// `text` as one word of a POSIX shell command; not escaped for HTML.
std::string shell_quote(std::string_view text);
// What follows the last slash; "model" for an empty path.
std::string_view file_name(std::string_view path);

// "0.0352", "3.5e-5"; kNoValue when not finite.
std::string number(double value, int significant_digits = 3);
// With so many decimals and groups of three digits kept together; kNoValue when not finite.
std::string fixed(double value, int decimals);
std::string percent(double share, int decimals = 1);  // 0.123 is "12.3 %"
// target / source as "1.90x" with a multiplication sign; nullopt-like kNoValue when it has no
// sense.
std::string factor(double source, double target);
// "+2.1 %", "-60.8 %" with a true minus sign.
std::string change(double source, double target, int decimals = 1);
// A duration for people; kNoValue when not finite or negative.
std::string seconds(double value);

// Finite, and small enough that differences of two cannot overflow: what a plot may show.
bool is_plottable(double value) noexcept;

// Bytes of a matrix in `type`; nullopt when its rows are not whole blocks.
std::optional<std::uint64_t> matrix_bytes(const MatrixPlan& plan, DType type);
// The chosen option; null when the options do not list it.
const TypeOption* chosen_option(const MatrixPlan& plan) noexcept;
// Weights-only prediction or measurement of the chosen type; 0 when the type did not change.
std::optional<double> chosen_kl(const MatrixPlan& plan) noexcept;

}  // namespace paring::shrink::report
