// SPDX-License-Identifier: Apache-2.0
// The HTML page of an optimize run: one file that needs nothing else, so that it can be mailed and
// archived. Its policy allows no request at all and no script but the one embedded here, whatever
// names a model file carries.
#include <fmt/format.h>

#include <string>
#include <string_view>

#include "base/sha256.h"
#include "embed_report_css.h"
#include "embed_report_js.h"
#include "shrink/optimize.h"
#include "shrink/report_charts.h"
#include "shrink/report_sections.h"
#include "shrink/report_text.h"

namespace paring::shrink {
namespace {

using namespace report;

std::string base64(const Sha256Digest& bytes) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const auto byte = [&](std::size_t j) -> std::uint32_t {
      return i + j < bytes.size() ? bytes[i + j] : 0U;
    };
    const std::uint32_t group = byte(0) << 16 | byte(1) << 8 | byte(2);
    out += kDigits[group >> 18];
    out += kDigits[group >> 12 & 63U];
    out += i + 1 < bytes.size() ? kDigits[group >> 6 & 63U] : '=';
    out += i + 2 < bytes.size() ? kDigits[group & 63U] : '=';
  }
  return out;
}

std::string head(const OptimizeResult& result, std::string_view style, std::string_view script) {
  Sha256 hash;
  hash.update(script);
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
      "'unsafe-inline'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n"
      "<meta name=\"referrer\" content=\"no-referrer\">\n"
      "<title>{}: Paring optimize report</title>\n<style>\n{}</style>\n</head>\n",
      base64(hash.finish()), escape_cut(file_name(result.model_path), 120), style);
}

// A section with a heading, a plot and what explains it.
std::string plot_section(std::string_view id, std::string_view heading, std::string_view caption,
                         const std::string& svg, const std::string& after = {}) {
  return fmt::format(
      "<section id=\"{}\"><h2>{}</h2>\n<figure>\n{}<figcaption>{}</figcaption></figure>\n{}"
      "</section>\n",
      id, heading, svg, caption, after);
}

std::string body(const OptimizeResult& result) {
  std::string out = header_section(result) + "<main>\n";
  out += "<section id=\"figures\"><h2>Before and after</h2>\n" + before_after_table(result);
  out += "<figure>\n" + speed_chart(result) +
         "<figcaption>The limit is what this machine's measured memory bandwidth and peak "
         "arithmetic allow for the model at hand: a smaller model has a higher one."
         "</figcaption></figure>\n</section>\n";
  out += plot_section(
      "candidates", "Candidates: file size against loss",
      "Measured on the search text in exact numerics, with one standard error. Hollow diamonds are "
      "what the search predicted for the same candidate before it was measured. The shaded area is "
      "within the budget.",
      size_kl_chart(result), candidates_table(result));
  out += "<div class=\"pair half\" id=\"loss\">\n";
  out += plot_section("percentiles", "How the loss is spread over tokens",
                      "Held-out text. The distance between the lines is what rounding of "
                      "activations and cache adds while serving.",
                      percentile_chart(result));
  out += plot_section("phases", "Where the time of this run went",
                      fmt::format("{} in total.", seconds(result.seconds)), phase_chart(result));
  out += "</div>\n";
  out += plot_section("types", "Type of every matrix",
                      "One cell a matrix. Darker means more bits; the text is the type.",
                      type_map_chart(result), types_table(result));
  out += plot_section("sensitivity", "Which matrices lose most",
                      "KL to the original when this matrix alone takes a type, all else untouched; "
                      "the 20 most sensitive ones.",
                      sensitivity_chart(result));
  out +=
      "<section id=\"recipe\"><h2>Recipe</h2>\n<p class=\"note\">KL alone: loss when this matrix "
      "alone takes the chosen type. Time: its product with one vector on this machine.</p>\n" +
      recipe_table(result) + "</section>\n" + explanation_section(result) + search_section(result);
  out += method_section(result) + certificate_section(result) + glossary_section();
  return out +
         "</main>\n<footer>Made by <code>paring optimize</code>. This page loads nothing from "
         "the network.</footer>\n";
}

}  // namespace

std::string render_report(const OptimizeResult& result) {
  const std::string_view style(paring_embed_report_css, paring_embed_report_css_size);
  const std::string_view script(paring_embed_report_js, paring_embed_report_js_size);
  return head(result, style, script) + "<body>\n" + body(result) + "<script>" +
         std::string(script) + "</script>\n</body>\n</html>\n";
}

}  // namespace paring::shrink
