// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "shrink/optimize.h"
#include "shrink/report_charts.h"
#include "shrink/report_sections.h"
#include "shrink/report_svg.h"
#include "shrink/report_text.h"

namespace paring::shrink {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

MatrixPlan make_plan(const std::string& name, std::size_t rows, std::size_t cols, double scale,
                     DType chosen) {
  MatrixPlan plan;
  plan.name = name;
  plan.rows = rows;
  plan.cols = cols;
  plan.original = DType::kF16;
  plan.chosen = chosen;
  for (const DType type : {DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ8_0}) {
    const double bits = dtype_info(type).bits_per_weight();
    TypeOption option{type};
    option.bytes = *dtype_row_bytes(type, cols) * rows;
    option.predicted_kl = scale * std::pow(4.0, 4.5 - bits);
    option.is_measured = type == DType::kQ5_0 || scale > 4e-3;
    option.seconds = static_cast<double>(option.bytes) / 25e9;
    plan.options.push_back(option);
  }
  return plan;
}

measure::PhaseSpeed make_speed(std::size_t tokens, double rate, double limit) {
  measure::PhaseSpeed speed;
  speed.tokens = tokens;
  speed.tokens_per_second = rate;
  speed.limit_tokens_per_second = limit;
  speed.limit_share = rate / limit;
  speed.seconds = static_cast<double>(tokens) / rate;
  speed.bytes_per_token = 30e9 / limit;
  return speed;
}

measure::Divergence make_divergence(double mean) {
  measure::Divergence d;
  d.kl_mean = mean;
  d.kl_standard_error = mean / 40;
  d.kl_median = mean * 0.55;
  d.kl_p90 = mean * 2.1;
  d.kl_p95 = mean * 3;
  d.kl_p99 = mean * 6.5;
  d.kl_p999 = mean * 21;
  d.kl_max = mean * 80;
  d.top1 = 0.914;
  d.top1_standard_error = 0.0022;
  d.base = {22.587, 0.31, 16320};
  d.model = {23.04, 0.32, 16320};
  d.tokens = 16320;
  return d;
}

void add_candidates(OptimizeResult& result) {
  const char* names[] = {"all Q8_0",
                         "all Q5_0",
                         "all Q4_1",
                         "all Q4_0",
                         "allocation 105.4 MB",
                         "allocation 104.1 MB",
                         "allocation 100 MB",
                         "allocation 110 MB",
                         "embedding Q8_0, rest allocated",
                         "exchange 1",
                         "exchange 2"};
  const double sizes[] = {144.6, 103.8, 95.1,  86.5,   105.38, 104.1,
                          100.0, 110.0, 105.2, 105.36, 105.39};
  const double losses[] = {0.0021, 0.061,  0.094,  0.142,  0.0358, 0.0382,
                           0.051,  0.0297, 0.0402, 0.0353, 0.0349};
  for (std::size_t i = 0; i < std::size(sizes); ++i) {
    Candidate candidate;
    candidate.name = names[i];
    candidate.file_bytes = static_cast<std::uint64_t>(sizes[i] * 1e6);
    candidate.kl = losses[i];
    candidate.kl_standard_error = losses[i] / 30;
    candidate.predicted_kl = losses[i] * (i % 3 == 0 ? 0.82 : 1.13);
    candidate.decode_tokens_per_second = i < 4 ? 0 : 104 + static_cast<double>(i);
    candidate.is_winner = i + 1 == std::size(sizes);
    for (const MatrixPlan& plan : result.plans) candidate.types.push_back(plan.chosen);
    result.candidates.push_back(candidate);
  }
}

void add_certificate(OptimizeResult& result) {
  api::Certificate& c = result.certificate;
  c.original_name = "smollm2-135m-reference-f16.gguf";
  c.original_sha256 = std::string(64, '5');
  c.variant.weights_sha256 = std::string(64, '1');
  c.variant.tokenizer_sha256 = std::string(64, '2');
  c.variant.numerics = "served";
  c.variant.kv_type = "q8";
  c.variant.isa_family = "x86-vnni";
  c.texts = {{"calibration", "built-in calibration text", std::string(64, 'a'), 24576},
             {"search", "built-in calibration text", std::string(64, 'b'), 8192},
             {"holdout", "built-in held-out text", std::string(64, 'c'), 16384}};
  c.tool_version = "0.1.0";
  c.date = "2026-11-22T08:05:09Z";
  for (const MatrixPlan& plan : result.plans) {
    c.recipe.push_back({plan.name, dtype_name(plan.chosen)});
  }
}

// A result as SmolLM2-135M gives it: 30 layers of seven matrices and the embedding.
OptimizeResult make_result() {
  OptimizeResult result;
  result.model_path = "models/smollm2-135m-reference-f16.gguf";
  result.out_path = "models/smollm2-135m-105.4MB.gguf";
  result.budget.file_bytes = 105'400'000;
  result.budget.speedup = 1.7;
  result.before = {269'060'000, 268'900'000, 297'000'000, {}, 22.587, 0.0004, 0, 0.991};
  result.after = {105'390'000, 105'200'000, 133'400'000, {}, 23.04, 0.0412, 0.0361, 0.914};
  result.before.speed = {make_speed(512, 812.4, 1510), make_speed(128, 66.3, 84.1), 268'900'000,
                         14'000'000, 12'000'000};
  result.after.speed = {make_speed(512, 1103.5, 1720), make_speed(128, 126.1, 188.7), 105'200'000,
                        14'000'000, 12'000'000};
  result.served = make_divergence(0.0412);
  result.weights = make_divergence(0.0361);
  result.plans.push_back(make_plan("token_embd.weight", 49152, 576, 0.031, DType::kQ5_1));
  struct Kind {
    const char* name;
    std::size_t rows;
    std::size_t cols;
    double scale;
  };
  const Kind kinds[] = {{"attn_q", 576, 576, 8e-4},     {"attn_k", 192, 576, 6e-4},
                        {"attn_v", 192, 576, 2e-3},     {"attn_output", 576, 576, 1.1e-3},
                        {"ffn_gate", 1536, 576, 1e-3},  {"ffn_up", 1536, 576, 1.2e-3},
                        {"ffn_down", 576, 1536, 2.2e-3}};
  for (std::size_t layer = 0; layer < 30; ++layer) {
    for (std::size_t k = 0; k < std::size(kinds); ++k) {
      const Kind& kind = kinds[k];
      // Early and last layers lose more, with a little spread.
      const double place = layer < 3 ? 4.0 : layer > 27 ? 2.5 : 1.0;
      const double scale =
          kind.scale * place * (1 + 0.13 * static_cast<double>((layer * 7 + k * 3) % 11));
      const DType chosen = scale > 4e-3   ? DType::kQ8_0
                           : scale > 2e-3 ? DType::kQ5_1
                           : scale > 1e-3 ? DType::kQ5_0
                                          : DType::kQ4_1;
      result.plans.push_back(make_plan(fmt::format("blk.{}.{}.weight", layer, kind.name), kind.rows,
                                       kind.cols, scale, chosen));
    }
  }
  add_candidates(result);
  result.phases = {{"statistics", 38.2},    {"encodings and kernel times", 31.4},
                   {"encoding", 61.9},      {"sensitivity", 204.4},
                   {"allocation", 0.31},    {"candidates", 96.7},
                   {"held-out check", 44.5}};
  add_certificate(result);
  result.isa = "avx512";
  result.threads = 2;
  result.cpu = "AMD EPYC 9B45";
  result.seconds = 446.6;
  return result;
}

// What is wrong with `xml` as an element of XML 1.0 without DTD; empty when nothing is. Checks
// balance, quoted and distinct attributes, references, and characters.
class XmlCheck {
 public:
  explicit XmlCheck(std::string_view xml) : rest_(xml) {}
  std::string error() {
    while (!rest_.empty()) {
      const std::string wrong = rest_.front() == '<' ? tag() : character();
      if (!wrong.empty()) return wrong + " at: " + std::string(rest_.substr(0, 60));
    }
    return open_.empty() ? "" : "unclosed " + open_.back();
  }

 private:
  std::string character() {
    const auto byte = static_cast<unsigned char>(rest_.front());
    if (byte < 0x20 && byte != '\n' && byte != '\t') return "control character";
    if (rest_.front() == '&') {
      const std::size_t end = rest_.find(';');
      if (end == std::string_view::npos || end > 10) return "bare ampersand";
      const std::string_view name = rest_.substr(1, end - 1);
      const bool is_known = name == "amp" || name == "lt" || name == "gt" || name == "quot";
      const bool is_number = name.size() > 1 && name[0] == '#' &&
                             name.find_first_not_of("0123456789", 1) == std::string_view::npos;
      if (!is_known && !is_number) return "unknown reference";
      rest_.remove_prefix(end + 1);
      return "";
    }
    if (open_.empty() && rest_.front() != '\n') return "text outside the element";
    rest_.remove_prefix(1);
    return "";
  }

  std::string tag() {
    const bool is_end = rest_.starts_with("</");
    rest_.remove_prefix(is_end ? 2 : 1);
    const std::size_t stop = rest_.find_first_of(" />");
    if (stop == 0 || stop == std::string_view::npos) return "tag without a name";
    const std::string name(rest_.substr(0, stop));
    rest_.remove_prefix(stop);
    std::vector<std::string> seen;
    while (rest_.starts_with(' ')) {
      const std::string wrong = attribute(seen);
      if (!wrong.empty()) return wrong;
    }
    const bool is_empty = rest_.starts_with("/>");
    if (!is_empty && !rest_.starts_with('>')) return "broken tag " + name;
    rest_.remove_prefix(is_empty ? 2 : 1);
    if (is_end) {
      if (open_.empty() || open_.back() != name) return "unexpected end of " + name;
      open_.pop_back();
    } else if (!is_empty) {
      open_.push_back(name);
    }
    return "";
  }

  std::string attribute(std::vector<std::string>& seen) {
    rest_.remove_prefix(1);
    const std::size_t equals = rest_.find("=\"");
    if (equals == std::string_view::npos) return "attribute without a value";
    const std::string name(rest_.substr(0, equals));
    if (name.empty() || name.find_first_of(" <>\"'&") != std::string::npos) return "bad attribute";
    if (std::find(seen.begin(), seen.end(), name) != seen.end()) return "attribute twice";
    seen.push_back(name);
    rest_.remove_prefix(equals + 2);
    const std::size_t end = rest_.find('"');
    if (end == std::string_view::npos) return "unclosed attribute";
    if (rest_.substr(0, end).find('<') != std::string_view::npos) return "< in an attribute";
    if (rest_.substr(0, end).find("nan") != std::string_view::npos) return "nan in an attribute";
    if (rest_.substr(0, end).find("inf") != std::string_view::npos) return "inf in an attribute";
    rest_.remove_prefix(end + 1);
    return "";
  }

  std::string_view rest_;
  std::vector<std::string> open_;
};

std::size_t count(std::string_view text, std::string_view part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1))
    ++found;
  return found;
}

std::vector<std::string> svgs_of(const std::string& page) {
  std::vector<std::string> svgs;
  for (std::size_t begin = page.find("<svg"); begin != std::string::npos;
       begin = page.find("<svg", begin + 1)) {
    const std::size_t end = page.find("</svg>", begin);
    if (end == std::string::npos) break;
    svgs.push_back(page.substr(begin, end + 6 - begin));
  }
  return svgs;
}

// The six plots must be there and sound, and nothing may be loaded, whatever the input.
void expect_sound_page(const std::string& page) {
  const std::vector<std::string> svgs = svgs_of(page);
  EXPECT_EQ(svgs.size(), 6U);
  for (const std::string& svg : svgs) {
    EXPECT_EQ(XmlCheck(svg).error(), "");
    EXPECT_NE(svg.find("<title id="), std::string::npos);
    EXPECT_NE(svg.find("<desc id="), std::string::npos);
  }
  EXPECT_EQ(count(page, "<script"), 1U);
  EXPECT_EQ(count(page, "</script>"), 1U);
  EXPECT_EQ(count(page, "<style"), 1U);
  for (const char* loader : {" src=", "<link", "<iframe", "<img", "@import", "url("}) {
    EXPECT_EQ(page.find(loader), std::string::npos) << loader;
  }
  EXPECT_EQ(count(page, "http"),
            count(page, "http-equiv") + count(page, "http://www.w3.org/2000/svg"));
  for (const char* section : {"figures", "candidates", "loss", "types", "sensitivity", "recipe",
                              "why", "search", "method", "reproduce", "certificate", "glossary"}) {
    EXPECT_EQ(count(page, fmt::format("id=\"{}\"", section)), 1U) << section;
    EXPECT_EQ(count(page, fmt::format("href=\"#{}\"", section)), 1U) << section;
  }
  // Table rows, sections and figures balance.
  for (const char* name :
       {"section", "figure", "table", "tbody", "tr", "td", "dl", "dd", "pre", "div", "main"}) {
    EXPECT_EQ(count(page, fmt::format("<{}>", name)) + count(page, fmt::format("<{} ", name)),
              count(page, fmt::format("</{}>", name)))
        << name;
  }
}

TEST(Report, TheCheckOfXmlFindsFaults) {
  EXPECT_EQ(XmlCheck("<a b=\"1\"><c/>x &#215; &lt;</a>\n").error(), "");
  for (const char* broken :
       {"<a>", "<a></b>", "<a>&</a>", "<a>&nbsp;</a>", "<a b=1/>", "<a b=\"1\" b=\"2\"/>",
        "<a b=\"<\"/>", "<a x=\"nan\"/>", "<a>\x01</a>", "< a/>", "x"}) {
    EXPECT_NE(XmlCheck(broken).error(), "") << broken;
  }
}

TEST(Report, ShowsEveryPlanAndCandidate) {
  const OptimizeResult result = make_result();
  const std::string page = render_report(result);
  expect_sound_page(page);
  for (const MatrixPlan& plan : result.plans) {
    EXPECT_EQ(count(page, "<td class=\"mono\">" + plan.name + "</td>"), 1U) << plan.name;
    EXPECT_GE(count(page, plan.name + ": F16 "), 1U) << "map of types: " << plan.name;
  }
  const std::string chart = report::size_kl_chart(result);
  for (std::size_t i = 0; i < result.candidates.size(); ++i) {
    const Candidate& candidate = result.candidates[i];
    EXPECT_EQ(count(page, fmt::format("<td class=\"left\">{}</td>", candidate.name)), 1U);
    EXPECT_EQ(count(chart, fmt::format("<title>{} {}: ", i + 1, candidate.name)), 1U);
  }
  EXPECT_EQ(count(chart, "class=\"winner\""), 2U) << "one in the legend, one in the plot";
  EXPECT_EQ(count(chart, "class=\"budget-line\""), 2U);
  EXPECT_NE(page.find("<strong>within the budget</strong>"), std::string::npos);
  EXPECT_NE(page.find("269.1 MB to 105.4 MB"), std::string::npos);
}

TEST(Report, IsTheSameForTheSameResult) {
  EXPECT_EQ(render_report(make_result()), render_report(make_result()));
}

TEST(Report, EscapesHostileText) {
  OptimizeResult result = make_result();
  const std::string hostile =
      "\"><script>alert('x')</script><svg "
      "onload=a()>&amp;\x01\xff\xc0\xaf\xed\xa0\x80\xe2\x80\xae]]>";
  result.model_path = "dir/" + hostile;
  result.out_path = hostile;
  result.cpu = hostile;
  result.isa = hostile;
  for (MatrixPlan& plan : result.plans) plan.name += hostile;
  result.plans[1].name = "blk.0." + hostile + ".weight";
  result.plans[2].name = "blk.99999999999999999999.attn_q.weight";
  result.plans[3].name = "blk.0..weight";
  for (Candidate& candidate : result.candidates) candidate.name = hostile;
  for (PhaseTime& phase : result.phases) phase.name = hostile;
  result.certificate.texts[0].name = hostile;
  result.certificate.texts[0].role = hostile;
  result.certificate.texts[0].sha256 = hostile;
  result.certificate.original_name = hostile;
  result.certificate.original_sha256 = hostile;
  result.certificate.variant.numerics = hostile;
  result.certificate.variant.kv_type = hostile;
  result.certificate.tool_version = hostile;
  result.certificate.date = hostile;
  result.certificate.recipe[0].name = hostile;
  const std::string page = render_report(result);
  expect_sound_page(page);
  EXPECT_EQ(page.find("<script>alert"), std::string::npos);
  EXPECT_EQ(page.find("<svg onload"), std::string::npos);
  EXPECT_EQ(page.find("\xe2\x80\xae"), std::string::npos) << "direction override";
  EXPECT_EQ(page.find('\xff'), std::string::npos);
  EXPECT_EQ(page.find('\x01'), std::string::npos);
}

TEST(Report, AllowsOnlyItsOwnScript) {
  const std::string page = render_report(make_result());
  EXPECT_NE(page.find("default-src 'none'"), std::string::npos);
  EXPECT_EQ(count(page, "script-src 'sha256-"), 1U);
  EXPECT_EQ(page.find("script-src 'unsafe"), std::string::npos);
}

TEST(Report, StandsAnEmptyResult) {
  const std::string page = render_report(OptimizeResult());
  expect_sound_page(page);
  EXPECT_NE(page.find("no budget was given"), std::string::npos);
  EXPECT_NE(page.find("No candidate was measured."), std::string::npos);
  EXPECT_EQ(page.find("nan"), std::string::npos);
}

TEST(Report, StandsOneCandidateAndOnePlan) {
  OptimizeResult result = make_result();
  result.candidates.resize(1);
  result.candidates[0].is_winner = true;
  result.plans.resize(1);
  result.phases.resize(1);
  result.budget = {};
  const std::string page = render_report(result);
  expect_sound_page(page);
  EXPECT_EQ(count(report::size_kl_chart(result), "class=\"winner\""), 2U);
}

TEST(Report, StandsFiguresThatAreNotNumbers) {
  for (const double broken : {kNan, kInfinity, -kInfinity, 0.0, -1.0, 1e308, -1e308, 5e-324}) {
    OptimizeResult result = make_result();
    for (ModelFigures* figures : {&result.before, &result.after}) {
      figures->perplexity = figures->kl = figures->kl_weights = figures->top1 = broken;
      for (measure::PhaseSpeed* speed : {&figures->speed.prefill, &figures->speed.decode}) {
        speed->tokens_per_second = speed->limit_tokens_per_second = speed->limit_share = broken;
        speed->bytes_per_token = broken;
      }
    }
    for (measure::Divergence* d : {&result.served, &result.weights}) {
      d->kl_mean = d->kl_median = d->kl_p90 = d->kl_p95 = d->kl_p99 = d->kl_p999 = d->kl_max =
          broken;
      d->kl_standard_error = d->top1_standard_error = d->base.standard_error = broken;
    }
    for (std::size_t i = 0; i < result.plans.size(); i += 2) {
      for (TypeOption& option : result.plans[i].options)
        option.predicted_kl = option.seconds = broken;
    }
    for (std::size_t i = 0; i < result.candidates.size(); i += 2) {
      Candidate& candidate = result.candidates[i];
      candidate.kl = candidate.kl_standard_error = candidate.predicted_kl = broken;
      candidate.decode_tokens_per_second = broken;
    }
    for (PhaseTime& phase : result.phases) phase.seconds = broken;
    result.seconds = broken;
    result.budget.kl_max = broken;
    result.budget.speedup = broken;
    result.before.file_bytes = std::numeric_limits<std::uint64_t>::max();
    const std::string page = render_report(result);
    SCOPED_TRACE(fmt::format("value {}", broken));
    expect_sound_page(page);
    EXPECT_EQ(count(page, ">nan<") + count(page, ">inf<") + count(page, ">-inf<"), 0U);
  }
}

TEST(Report, SaysWhichBoundsAreMissed) {
  OptimizeResult result = make_result();
  result.budget = {
      .file_bytes = 105'389'999, .memory_bytes = 200'000'000, .speedup = 1.9, .kl_max = 0.05};
  const std::vector<report::BudgetCheck> checks = report::check_budget(result);
  using State = report::BudgetCheck::State;
  ASSERT_EQ(checks.size(), 4U);
  EXPECT_EQ(checks[0].state, State::kMissed);
  EXPECT_EQ(checks[1].state, State::kMet);
  EXPECT_EQ(checks[2].state, State::kMet);
  EXPECT_EQ(checks[3].state, State::kMet);
  EXPECT_NE(render_report(result).find("<strong>outside the budget</strong>"), std::string::npos);
  result.after.kl = kNan;
  EXPECT_EQ(report::check_budget(result)[3].state, State::kUnknown);
}

TEST(Report, CommandNamesExactBoundsAndQuotesPaths) {
  OptimizeResult result = make_result();
  result.model_path = "it's; rm -rf x";
  EXPECT_EQ(report::reproduce_command(result),
            "paring optimize 'it'\\''s; rm -rf x' --file 105.4MB --speed 1.7x --threads 2 --out "
            "models/smollm2-135m-105.4MB.gguf");
  result.budget = {.file_bytes = 105'400'001, .kl_max = 0.05};
  result.model_path = "a.gguf";
  result.types = {DType::kQ4_0, DType::kQ8_0};
  result.calibration_path = "my text.txt";
  EXPECT_EQ(report::reproduce_command(result),
            "paring optimize a.gguf --file 105400001 --kl 0.05 --types Q4_0,Q8_0 --calibration "
            "'my text.txt' --threads 2 --out "
            "models/smollm2-135m-105.4MB.gguf");
}

TEST(ReportCharts, FrontHoldsWhatNothingBeats) {
  std::vector<Candidate> candidates(6);
  const double losses[] = {0.5, 0.3, 0.3, 0.1, kNan, 0.2};
  const std::uint64_t sizes[] = {100, 200, 150, 300, 50, 400};
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    candidates[i].kl = losses[i];
    candidates[i].file_bytes = sizes[i];
  }
  EXPECT_EQ(report::pareto_front(candidates), (std::vector<std::size_t>{0, 2, 3}));
  EXPECT_TRUE(report::pareto_front({}).empty());
}

TEST(ReportCharts, LargeModelsWrapIntoBands) {
  OptimizeResult result;
  for (std::size_t layer = 0; layer < 80; ++layer) {
    result.plans.push_back(
        make_plan(fmt::format("blk.{}.ffn_down.weight", layer), 64, 256, 1e-3, DType::kIQ4_NL));
  }
  const std::string svg = report::type_map_chart(result);
  EXPECT_EQ(XmlCheck(svg).error(), "");
  EXPECT_EQ(count(svg, ">down<"), 3U) << "bands of 32 layers";
  EXPECT_EQ(count(svg, "<g class=\"tip\">"), 80U);
}

TEST(ReportCharts, SensitivityKeepsTheWorstTwenty) {
  const OptimizeResult result = make_result();
  const std::string svg = report::sensitivity_chart(result);
  EXPECT_EQ(count(svg, "<title>token_embd.weight in "), 5U) << "one mark a type";
  EXPECT_EQ(count(svg, " in Q4_0: KL "), 20U);
  EXPECT_GT(count(svg, "(measured)"), 0U);
}

TEST(ReportSvg, AxesHaveRoundTicksWithinTheirRange) {
  const auto labels = [](const report::Axis& axis) {
    std::vector<std::string> found;
    for (const report::Tick& tick : axis.ticks(6)) {
      EXPECT_GE(tick.value, axis.low * 0.999 - 1e-12);
      EXPECT_LE(tick.value, axis.high * 1.001 + 1e-12);
      found.push_back(tick.label);
    }
    return found;
  };
  EXPECT_EQ(labels({0, 100, 0, 1, false}),
            (std::vector<std::string>{"0", "20", "40", "60", "80", "100"}));
  EXPECT_EQ(labels({0.02, 0.11, 0, 1, false}),
            (std::vector<std::string>{"0.02", "0.04", "0.06", "0.08", "0.10"}));
  EXPECT_EQ(labels({1e-5, 1, 0, 1, true}),
            (std::vector<std::string>{"1e-5", "0.0001", "0.001", "0.01", "0.1", "1"}));
  EXPECT_EQ(labels({0, 1, 0, 1, false}).front(), "0.0");
}

TEST(ReportSvg, AxesFitOneValueManyAndNone) {
  const report::Axis one = report::fit_axis(std::vector{100.0}, {});
  EXPECT_LT(one.low, 100);
  EXPECT_GT(one.high, 100);
  const report::Axis close = report::fit_axis(std::vector{102.8, 105.4}, {});
  EXPECT_GT(close.low, 102.0) << "values close together fill the axis";
  EXPECT_LT(close.high, 106.0);
  EXPECT_TRUE(report::fit_axis(std::vector{0.001, 0.1}, {.allow_log = true}).is_log);
  EXPECT_FALSE(report::fit_axis(std::vector{0.0, 0.1}, {.allow_log = true}).is_log);
  for (const auto& values :
       {std::vector<double>{}, {0.0, 0.0}, {kNan, kInfinity}, {1e308, -1e308}}) {
    const report::Axis axis = report::fit_axis(values, {});
    EXPECT_EQ(axis.low, 0);
    EXPECT_EQ(axis.high, 1);
  }
}

TEST(ReportSvg, AxisMapsAndClamps) {
  const report::Axis axis{1, 100, 10, 210, true};
  EXPECT_DOUBLE_EQ(axis.position(10), 110);
  EXPECT_DOUBLE_EQ(axis.position(1e9), 210);
  EXPECT_DOUBLE_EQ(axis.position(0), 10);
  EXPECT_DOUBLE_EQ(axis.position(kNan), 10);
}

TEST(ReportText, EscapesWhatMarkupWouldRead) {
  using report::escape;
  EXPECT_EQ(escape("<a href=\"x\">'&"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;");
  EXPECT_EQ(escape("na\xc3\xafve \xe6\xbc\xa2 \xf0\x9f\x98\x80"),
            "na\xc3\xafve \xe6\xbc\xa2 \xf0\x9f\x98\x80");
  EXPECT_EQ(escape(std::string_view("\0\n\x7f", 3)), "\\x00\\x0a\\x7f");
  EXPECT_EQ(escape("\xc0\xaf"), "\\xc0\\xaf") << "overlong";
  EXPECT_EQ(escape("\xed\xa0\x80"), "\\xed\\xa0\\x80") << "surrogate";
  EXPECT_EQ(escape("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80") << "above U+10FFFF";
  EXPECT_EQ(escape("\xe2\x82"), "\\xe2\\x82") << "cut";
  EXPECT_EQ(escape("\xe2\x80\xae"), "\\u{202e}");
  EXPECT_EQ(escape("\xef\xbf\xbf"), "\\u{ffff}");
  EXPECT_EQ(report::escape_cut("<<<<", 2), "&lt;&lt;...");
  EXPECT_EQ(report::escape_cut("ab", 2), "ab");
}

TEST(ReportText, NumbersReadWell) {
  using namespace report;
  EXPECT_EQ(number(0.035212), "0.0352");
  EXPECT_EQ(number(3.52e-5), "3.52e-5");
  EXPECT_EQ(number(1e20), "1e20");
  EXPECT_EQ(number(-0.5), "&#8722;0.5");
  EXPECT_EQ(number(kNan), "n/a");
  EXPECT_EQ(fixed(1234567.25, 1), "1&#8239;234&#8239;567.2");
  EXPECT_EQ(fixed(1234, 0), "1234");
  EXPECT_EQ(fixed(-0.0, 1), "0.0");
  EXPECT_EQ(factor(100, 190), "1.90&#215;");
  EXPECT_EQ(factor(0, 190), "n/a");
  EXPECT_EQ(change(100, 39.2), "&#8722;60.8&#160;%");
  EXPECT_EQ(seconds(kInfinity), "n/a");
  EXPECT_EQ(shell_quote(""), "''");
  EXPECT_EQ(file_name("a/b/c.gguf"), "c.gguf");
  EXPECT_EQ(file_name("a/"), "a/");
}

}  // namespace
}  // namespace paring::shrink
