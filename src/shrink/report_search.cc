// SPDX-License-Identifier: Apache-2.0
// What the search did with its time, proof that its methods worked, what each choice gained, and
// why each tensor has its type.
#include <fmt/format.h>

#include <cmath>

#include "base/text.h"
#include "shrink/explain.h"
#include "shrink/report_sections.h"
#include "shrink/report_text.h"
#include "shrink/shortfall.h"

namespace paring::shrink::report {
namespace {

std::string time_note(const OptimizeResult& result) {
  const SearchTime& time = result.time;
  std::string out = fmt::format(
      "<p>The search had {} and found its last candidate after {}. It measured the sensitivity of "
      "{} of {} matrices and {} of {} refinements",
      seconds(time.limit_seconds), seconds(time.search_seconds), time.probes_measured,
      time.probes_wanted, time.refinements_measured, time.refinements_wanted);
  out += time.is_complete()
             ? "; more time would not have changed the result."
             : "; with more time (<code>--time</code>) it would have measured the rest.";
  if (const std::string late = overrun(time, result.seconds); !late.empty()) {
    out += " The run took longer than it was given: " + escape(late) + ".";
  }
  if (time.recalled > 0) {
    out += fmt::format(" {} measurements were taken over from an interrupted run.", time.recalled);
  }
  if (time.peak_memory_bytes > 0) {
    out += fmt::format(" Its memory peaked at {}.", format_bytes(time.peak_memory_bytes));
  }
  out += "</p>\n";
  const std::vector<std::string> missing = shortfall(time);
  if (missing.empty()) return out;
  out += "<p>Left out for want of time:</p>\n<ul>\n";
  for (const std::string& line : missing) out += "<li>" + escape(line) + "</li>\n";
  return out + "</ul>\n";
}

std::string proofs_table(const OptimizeResult& result) {
  if (result.proofs.empty()) return "";
  std::string out =
      "<div class=\"scroll\"><table>\n<caption>Proof that each method did something</caption>\n"
      "<thead><tr><th scope=\"col\">method</th><th scope=\"col\">changed bytes of the encodings"
      "</th><th scope=\"col\">predicted loss, with it / without it</th></tr></thead>\n<tbody>\n";
  for (const MethodProof& proof : result.proofs) {
    out += fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td></tr>\n",
                       escape(proof.method), percent(proof.changed_share),
                       proof.loss_ratio > 0 ? number(proof.loss_ratio) : std::string(kDash));
  }
  return out + "</tbody></table></div>\n";
}

std::string ablation_table(const Ablation& ablation) {
  if (!ablation.is_measured()) {
    return "<p class=\"note\">What each choice gained was not measured: "
           "<code>--ablation</code> does.</p>\n";
  }
  std::string out = fmt::format(
      "<div class=\"scroll\"><table>\n<caption>What each choice gained: KL on search text, at "
      "equal "
      "bytes; plainest recipe {}, full recipe {}</caption>\n<thead><tr><th "
      "scope=\"col\">choice</th>"
      "<th scope=\"col\">added to the plainest</th><th scope=\"col\">taken from the full</th>"
      "<th scope=\"col\">taken away as</th></tr></thead>\n<tbody>\n",
      number(ablation.kl_plain), number(ablation.kl_full));
  for (const AblationRow& row : ablation.rows) {
    out += fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td></tr>\n",
                       escape(row.name), number(row.kl_alone), number(row.kl_without),
                       escape(row.note));
  }
  return out + "</tbody></table></div>\n";
}

}  // namespace

std::string search_section(const OptimizeResult& result) {
  return "<section id=\"search\"><h2>The search</h2>\n" + time_note(result) + proofs_table(result) +
         ablation_table(result.ablation) + "</section>\n";
}

std::string explanation_section(const OptimizeResult& result) {
  const Explanations all = explain(result);
  std::string out = fmt::format(
      "<section id=\"why\"><h2>Why each tensor has its type</h2>\n<p class=\"note\">The search "
      "stood at {} KL for a megabyte: steps that gain more were taken, others were not.</p>\n"
      "<details><summary>{} tensors</summary>\n<dl>\n",
      number(all.price), all.tensors.size());
  for (const Explanation& tensor : all.tensors) {
    out += fmt::format("<dt>{}: {}</dt><dd>{} of the loss ({}); {}</dd>\n",
                       escape_cut(tensor.name, 200), dtype_name(tensor.chosen),
                       percent(tensor.kl_share), tensor.is_measured ? "measured" : "interpolated",
                       escape(tensor.reason));
  }
  return out + "</dl>\n</details>\n</section>\n";
}

}  // namespace paring::shrink::report
