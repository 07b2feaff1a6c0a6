// SPDX-License-Identifier: Apache-2.0
// Headline, budget, and what stands around the tables: method, reproduction, certificate, glossary.
#include "shrink/report_sections.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "shrink/report_text.h"

namespace paring::shrink::report {
namespace {

using Json = nlohmann::ordered_json;
using State = BudgetCheck::State;

State state_of(bool is_known, bool is_met) {
  if (!is_known) return State::kUnknown;
  return is_met ? State::kMet : State::kMissed;
}

double decode_speedup(const OptimizeResult& result) {
  const double before = result.before.speed.decode.tokens_per_second;
  const double after = result.after.speed.decode.tokens_per_second;
  return before > 0 ? after / before : NAN;
}

struct Verdict {
  const char* text;
  const char* css_class;
};

Verdict verdict(const std::vector<BudgetCheck>& checks) {
  bool is_known = !checks.empty();
  for (const BudgetCheck& check : checks) {
    if (check.state == State::kMissed) return {"outside the budget", "missed"};
    is_known = is_known && check.state == State::kMet;
  }
  if (checks.empty()) return {"no budget was given", "open"};
  if (!is_known) return {"within the budget as far as it was measured", "open"};
  return {"within the budget", "met"};
}

std::string tile(std::string_view name, const std::string& big, const std::string& from) {
  return fmt::format(
      "<div class=\"tile\"><div class=\"name\">{}</div><div class=\"big\">{}</div>"
      "<div class=\"from\">{}</div></div>\n",
      name, big, from);
}

std::string tiles(const OptimizeResult& result) {
  const ModelFigures& before = result.before;
  const ModelFigures& after = result.after;
  const auto from_to = [](const std::string& source, const std::string& target) {
    return fmt::format("{} {} {}", source, kArrow, target);
  };
  const auto speeds = [&](const measure::PhaseSpeed& source, const measure::PhaseSpeed& target) {
    return from_to(fixed(source.tokens_per_second, 1), fixed(target.tokens_per_second, 1)) +
           " tokens/s";
  };
  std::string out = "<div class=\"tiles\">\n";
  out += tile("File size", format_bytes(after.file_bytes),
              fmt::format("from {}, {}", format_bytes(before.file_bytes),
                          change(static_cast<double>(before.file_bytes),
                                 static_cast<double>(after.file_bytes))));
  out += tile("Decode speed",
              factor(before.speed.decode.tokens_per_second, after.speed.decode.tokens_per_second),
              speeds(before.speed.decode, after.speed.decode));
  out += tile("Prefill speed",
              factor(before.speed.prefill.tokens_per_second, after.speed.prefill.tokens_per_second),
              speeds(before.speed.prefill, after.speed.prefill));
  out += tile("KL to the original", number(after.kl),
              fmt::format("nats a token; {} weights only", number(after.kl_weights)));
  out += tile(
      "Same top token", percent(after.top1),
      fmt::format("of {} held-out tokens", fixed(static_cast<double>(result.served.tokens), 0)));
  out += tile("Perplexity", change(before.perplexity, after.perplexity),
              from_to(fixed(before.perplexity, 2), fixed(after.perplexity, 2)));
  return out + "</div>\n";
}

std::string headline(const OptimizeResult& result, const Verdict& outcome) {
  const double source = static_cast<double>(result.before.file_bytes);
  const double target = static_cast<double>(result.after.file_bytes);
  return fmt::format(
      "<p class=\"lead\"><strong>{}</strong> went from {} to {} ({}), decodes {} as fast on this "
      "machine, and its mean KL to the original on held-out text is {} nats a token: "
      "<strong>{}</strong>.</p>\n",
      escape_cut(file_name(result.model_path), 200), format_bytes(result.before.file_bytes),
      format_bytes(result.after.file_bytes), change(source, target),
      factor(result.before.speed.decode.tokens_per_second,
             result.after.speed.decode.tokens_per_second),
      number(result.after.kl), outcome.text);
}

// Exact when the short form reads back as the same size, else plain bytes.
std::string exact_size(std::uint64_t bytes) {
  std::string text = format_bytes(bytes);
  std::erase(text, ' ');
  const Result<std::uint64_t> back = parse_bytes(text);
  if (back.has_value() && *back == bytes) return text;
  return fmt::format("{}", bytes);
}

std::string definition(std::string_view term, std::string_view text) {
  return fmt::format("<dt>{}</dt><dd>{}</dd>\n", term, text);
}

std::string texts_line(const OptimizeResult& result) {
  std::string out;
  for (const api::CertificateText& text : result.certificate.texts) {
    out += fmt::format("{}{}: {}, {} tokens, SHA-256 <code>{}</code>", out.empty() ? "" : "<br>",
                       escape_cut(text.role, 40), escape_cut(text.name, 200), text.tokens,
                       escape_cut(text.sha256, 64));
  }
  return out.empty() ? "not recorded" : out;
}

// Two blanks a level; an object of plain values that fits on a line stays on one, so that the list
// of tensors reads as a table. Depth is bounded by the certificate's structure.
void print_json(const Json& value, const std::string& indent, std::string& out) {
  constexpr std::size_t kLineMax = 90;
  const auto compact = [](const Json& part) {
    return part.dump(-1, ' ', false, Json::error_handler_t::replace);
  };
  bool is_nested = false;
  for (const Json& item : value) is_nested = is_nested || item.is_structured();
  const std::string line = compact(value);
  if (!value.is_structured() || value.empty() || (!is_nested && line.size() <= kLineMax)) {
    out += line;
    return;
  }
  const std::string inner = indent + "  ";
  out += value.is_object() ? "{" : "[";
  const char* separator = "\n";
  for (const auto& [key, item] : value.items()) {
    out += separator + inner;
    if (value.is_object()) out += compact(Json(key)) + ": ";
    print_json(item, inner, out);
    separator = ",\n";
  }
  out += "\n" + indent + (value.is_object() ? "}" : "]");
}

}  // namespace

std::vector<BudgetCheck> check_budget(const OptimizeResult& result) {
  const Budget& budget = result.budget;
  const ModelFigures& after = result.after;
  std::vector<BudgetCheck> checks;
  if (budget.file_bytes > 0) {
    checks.push_back({fmt::format("file {} {}", kAtMost, format_bytes(budget.file_bytes)),
                      format_bytes(after.file_bytes),
                      state_of(after.file_bytes > 0, after.file_bytes <= budget.file_bytes)});
  }
  if (budget.memory_bytes > 0) {
    checks.push_back({fmt::format("memory {} {} at {} tokens", kAtMost,
                                  format_bytes(budget.memory_bytes), budget.context_tokens),
                      format_bytes(after.memory_bytes),
                      state_of(after.memory_bytes > 0, after.memory_bytes <= budget.memory_bytes)});
  }
  if (budget.speedup > 0) {
    const double speedup = decode_speedup(result);
    checks.push_back(
        {fmt::format("decode {} {}{}", kAtLeast, number(budget.speedup), kTimes),
         std::isfinite(speedup) ? fixed(speedup, 2) + std::string(kTimes) : std::string(kNoValue),
         state_of(std::isfinite(speedup), speedup >= budget.speedup)});
  }
  if (budget.kl_max > 0) {
    checks.push_back({fmt::format("KL {} {}", kAtMost, number(budget.kl_max)), number(after.kl),
                      state_of(std::isfinite(after.kl), after.kl <= budget.kl_max)});
  }
  return checks;
}

std::string reproduce_command(const OptimizeResult& result) {
  const Budget& budget = result.budget;
  std::string out = "paring optimize " + shell_quote(result.model_path);
  if (budget.file_bytes > 0) out += " --file " + exact_size(budget.file_bytes);
  if (budget.memory_bytes > 0) {
    out += fmt::format(" --memory {} --context-tokens {}", exact_size(budget.memory_bytes),
                       budget.context_tokens);
  }
  if (budget.speedup > 0) out += fmt::format(" --speed {}x", budget.speedup);
  if (budget.kl_max > 0) out += fmt::format(" --kl {}", budget.kl_max);
  if (!result.types.empty()) {
    out += " --types ";
    for (std::size_t i = 0; i < result.types.size(); ++i) {
      out += fmt::format("{}{}", i == 0 ? "" : ",", dtype_name(result.types[i]));
    }
  }
  if (!result.calibration_path.empty()) {
    out += " --calibration " + shell_quote(result.calibration_path);
  }
  if (result.threads > 0) out += fmt::format(" --threads {}", result.threads);
  return out + " --out " + shell_quote(result.out_path);
}

std::string header_section(const OptimizeResult& result) {
  const std::vector<BudgetCheck> checks = check_budget(result);
  const Verdict outcome = verdict(checks);
  std::string out = "<header>\n<p class=\"kind\">Paring optimize report</p>\n";
  out += fmt::format("<h1>{}: {} {} {}</h1>\n", escape_cut(file_name(result.model_path), 120),
                     format_bytes(result.before.file_bytes), kArrow,
                     format_bytes(result.after.file_bytes));
  out += headline(result, outcome);
  out += "<ul class=\"badges\" aria-label=\"Budget\">\n";
  out += fmt::format("<li class=\"badge {}\">{}</li>\n", outcome.css_class, outcome.text);
  for (const BudgetCheck& check : checks) {
    const bool is_met = check.state == State::kMet;
    const bool is_missed = check.state == State::kMissed;
    out += fmt::format("<li class=\"badge {}\">{} {}: {}</li>\n",
                       is_met      ? "met"
                       : is_missed ? "missed"
                                   : "open",
                       is_met      ? "&#10003;"
                       : is_missed ? "&#10007;"
                                   : "?",
                       check.bound, check.figure);
  }
  out += "</ul>\n" + tiles(result);
  out +=
      "<nav aria-label=\"Sections\"><a href=\"#figures\">Before and after</a> "
      "<a href=\"#candidates\">Candidates</a> <a href=\"#loss\">Loss and time</a> "
      "<a href=\"#types\">Types</a> <a href=\"#sensitivity\">Sensitivity</a> "
      "<a href=\"#recipe\">Recipe</a> <a href=\"#why\">Why</a> <a href=\"#search\">Search</a> <a "
      "href=\"#method\">What the figures include</a> "
      "<a href=\"#reproduce\">Reproduce</a> <a href=\"#certificate\">Certificate</a> "
      "<a href=\"#glossary\">Glossary</a></nav>\n";
  return out + "</header>\n";
}

std::string method_section(const OptimizeResult& result) {
  const api::Variant& variant = result.certificate.variant;
  const measure::PhaseSpeed& prefill = result.after.speed.prefill;
  const measure::PhaseSpeed& decode = result.after.speed.decode;
  const auto or_none = [](const std::string& text) {
    return text.empty() ? std::string("not recorded") : escape_cut(text, 200);
  };
  std::string out = "<section id=\"method\"><h2>What each figure includes</h2>\n<dl>\n";
  out += definition("Texts", texts_line(result));
  out += definition(
      "As served",
      fmt::format("the numerics that users get ({}): activations rounded to 8 bits in groups of 32 "
                  "before they meet quantized weights, key and value cache in {}; compared with "
                  "the original in exact numerics",
                  or_none(variant.numerics), or_none(variant.kv_type)));
  out += definition("Weights only",
                    "both models in exact numerics (32-bit activations and cache), so that nothing "
                    "but the rounding of the weights is seen");
  out += definition(
      "Held-out loss",
      fmt::format("{} tokens as served, {} in exact numerics, of text that neither the statistics "
                  "nor the search saw",
                  result.served.tokens, result.weights.tokens));
  out +=
      definition("Candidates' KL",
                 "exact numerics, on windows of the calibration text that the search measures on");
  out += definition(
      "Speed", fmt::format("median of repeated runs; prefill of {} tokens, decode of {} tokens one "
                           "by one",
                           prefill.tokens, decode.tokens));
  out +=
      definition("Limit",
                 "what this machine's measured memory bandwidth and peak arithmetic allow for the "
                 "bytes and operations of a token");
  out += definition("Memory",
                    fmt::format("weights, key and value cache and step buffers for a context of {} "
                                "tokens, or the model's own limit if that is less",
                                result.budget.context_tokens));
  out += definition("Machine",
                    fmt::format("{}; kernels {}; {} {}", or_none(result.cpu), or_none(result.isa),
                                result.threads, result.threads == 1 ? "thread" : "threads"));
  out += definition("Original", fmt::format("{}<br>SHA-256 of the weights <code>{}</code>",
                                            or_none(result.model_path),
                                            or_none(result.certificate.original_sha256)));
  out += definition("Result", fmt::format("{}<br>variant <code>{}</code>", or_none(result.out_path),
                                          variant.id()));
  out += definition("Made",
                    fmt::format("{} with Paring {}, in {}", or_none(result.certificate.date),
                                or_none(result.certificate.tool_version), seconds(result.seconds)));
  out += "</dl>\n</section>\n<section id=\"reproduce\"><h2>How to reproduce</h2>\n";
  out += fmt::format("<pre>{}</pre>\n", escape(reproduce_command(result)));
  return out +
         "<p class=\"note\">The texts used and their hashes stand above. Losses depend on the "
         "model, the "
         "texts and the kernels, not on the number of threads; speeds belong to this "
         "machine.</p>\n</section>\n";
}

std::string certificate_section(const OptimizeResult& result) {
  const std::string line = result.certificate.to_json();
  const Json value = Json::parse(line, nullptr, false);
  std::string pretty;
  if (value.is_discarded()) {
    pretty = line;
  } else {
    print_json(value, "", pretty);
  }
  // Line feeds are the printer's own: inside JSON strings they are escaped.
  std::string markup;
  for (std::size_t begin = 0; begin <= pretty.size();) {
    const std::size_t end = std::min(pretty.find('\n', begin), pretty.size());
    markup += escape(std::string_view(pretty).substr(begin, end - begin)) + "\n";
    begin = end + 1;
  }
  return "<section id=\"certificate\"><h2>Certificate</h2>\n<p class=\"note\">The same JSON stands "
         "in "
         "the file's metadata under <code>" +
         std::string(api::kCertificateKey) +
         "</code>; <code>paring inspect</code> prints it.</p>\n" +
         "<pre class=\"tall\" tabindex=\"0\" role=\"region\" aria-label=\"Certificate as JSON\">" +
         markup + "</pre>\n</section>\n";
}

std::string glossary_section() {
  std::string out = "<section id=\"glossary\"><h2>Glossary</h2>\n<dl>\n";
  out +=
      definition("KL divergence",
                 "how far the model's next-token probabilities are from the original's, in nats a "
                 "token; 0 means identical");
  out += definition("Top-1 agreement",
                    "share of tokens at which both models find the same next token most likely");
  out +=
      definition("Perplexity",
                 "how surprised the model is by real text: it hesitates as between so many equally "
                 "likely tokens; lower is better");
  out += definition("Prefill", "reading the prompt, many tokens at once: bound by arithmetic");
  out += definition("Decode",
                    "writing the answer, token by token: bound by reading the weights from memory");
  out +=
      definition("Bits a weight", "bytes of a type's blocks with their scales, by weights stored");
  out += definition("Pareto front", "candidates that no other beats in both file size and loss");
  out += definition("p99", "the value that 99 % of tokens stay at or below");
  return out + "</dl>\n</section>\n";
}

}  // namespace paring::shrink::report
