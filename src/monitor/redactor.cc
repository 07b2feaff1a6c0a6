// SPDX-License-Identifier: Apache-2.0
#include "monitor/redactor.h"

#include <fmt/format.h>
#include <re2/re2.h>
#include <re2/set.h>

#include <algorithm>
#include <ctime>
#include <iterator>
#include <utility>

#include "base/text.h"
#include "monitor/detail/pii_numbers.h"
#include "monitor/detail/text_fold.h"

namespace paring::monitor {

namespace {

using detail::Place;

// Of compiled patterns; an operator's rule that needs more is refused.
constexpr std::int64_t kPatternMemoryMax = std::int64_t{8} << 20;
// Of all of them together.
constexpr std::int64_t kPrefilterMemoryMax = std::int64_t{16} << 20;
// Escapes within escapes: JSON in a string of JSON in a string.
constexpr int kFoldsMax = 3;

constexpr const char* kEmail[] = {R"([\p{L}\p{N}.!#$%&'*+/=?^_`{|}~-]+(?:@|%40|&#64;|&commat;))"
                                  R"([\p{L}\p{N}](?:[\p{L}\p{N}-]*[\p{L}\p{N}])?)"
                                  R"((?:\.[\p{L}\p{N}](?:[\p{L}\p{N}-]*[\p{L}\p{N}])?)+)"};
constexpr const char* kPhone[] = {
    // With the country's code.
    R"((\+[1-9](?:[ ().\-/]{0,2}[0-9]){6,14})(?:[^0-9]|\z))",
    R"((?:\A|[^\w.,])(00[1-9](?:[ ().\-/]{0,2}[0-9]){6,14})(?:[^0-9]|\z))",
    // North America.
    R"((?:\A|[^\w.])((?:1[ .-])?\(?[2-9][0-9]{2}\)?[ .-]{0,2}[2-9][0-9]{2}[ .-][0-9]{4})\b)",
    R"((?:\A|[^\w.\-])([2-9][0-9]{2}[2-9][0-9]{6})\b)",
    // Elsewhere they begin with a zero.
    R"((?:\A|[^\w.,])(\(?0[1-9][0-9]{1,4}\)?[ /\-][0-9]{2,4}(?:[ \-]?[0-9]{2,4}){1,3})\b)",
    R"((?:\A|[^\w.,])(0[1-9](?:[ .\-][0-9]{2}){4})\b)", R"((?:\A|[^\w.,])(0[1-9][0-9]{8,10})\b)"};
constexpr const char* kApiKey[] = {
    R"(\b(?:sk|pk|rk)[-_][A-Za-z0-9_\-]{16,})",
    R"(\b(?:hf_|gh[pousr]_|npm_)[A-Za-z0-9]{20,})",
    R"(\b(?:github_pat_|glpat-|pypi-|xox[abeoprs]-)[A-Za-z0-9_\-]{10,})",
    R"(\b(?:AKIA|ASIA)[0-9A-Z]{16}\b)",
    R"(\bAIza[0-9A-Za-z_\-]{35})",
    R"((?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\z))"};
constexpr const char* kBearer[] = {
    R"((?i)\b(?:bearer|basic)\s+([A-Za-z0-9._~+/\-]{8,}=*))",
    R"((?i)\bauthorization["']?\s*[:=]\s*["']?(?:bearer\s+|basic\s+)?([A-Za-z0-9._~+/\-]{8,}=*))"};
constexpr const char* kJwt[] = {R"(\beyJ[A-Za-z0-9_\-]{4,}(?:\.[A-Za-z0-9_\-]*){1,4})"};
constexpr const char* kSecret[] = {
    R"((?i)\b(?:api[_-]?key|access[_-]?key|secret|token|password|passwd|pwd)["']?\s*[:=]\s*)"
    R"(["']?([^\s"',;\\]{4,}))"};
constexpr const char* kSsn[] = {
    R"(\b(?:00[1-9]|0[1-9][0-9]|[1-578][0-9]{2}|6[0-57-9][0-9]|66[0-57-9])[ -])"
    R"((?:0[1-9]|[1-9][0-9])[ -][0-9]{4}\b)"};

struct BuiltIn {
  BuiltInRedaction told;
  std::vector<const char*> patterns;
  detail::Finder finder = nullptr;
};

template <std::size_t N>
std::vector<const char*> all(const char* const (&patterns)[N]) {
  return {std::begin(patterns), std::end(patterns)};
}

// The one list. Earlier ones name a place that several find.
const std::vector<BuiltIn>& built_ins() {
  static const std::vector<BuiltIn> kList = {
      {{"jwt", "[JWT]", true, "JSON Web Tokens"}, all(kJwt)},
      {{"api_key", "[API_KEY]", true,
        "keys by their first letters (sk-, hf_, ghp_, AKIA ...), "
        "private keys in PEM"},
       all(kApiKey)},
      {{"bearer_token", "[TOKEN]", true, "what follows Bearer, Basic or Authorization:"},
       all(kBearer)},
      {{"secret", "[SECRET]", true, "what follows password=, token:, api_key= and their like"},
       all(kSecret)},
      {{"email", "[EMAIL]", true, "addresses of e-mail"}, all(kEmail)},
      {{"iban", "[IBAN]", true, "IBANs whose check digits hold"}, {}, detail::find_ibans},
      {{"credit_card", "[CARD]", true, "numbers of cards whose check digit holds"},
       {},
       detail::find_cards},
      {{"ip", "[IP]", true, "addresses of IPv4 and IPv6"}, {}, detail::find_addresses},
      {{"us_ssn", "[SSN]", false, "social security numbers of the USA"}, all(kSsn)},
      {{"phone", "[PHONE]", true, "numbers of telephones"}, all(kPhone)},
  };
  return kList;
}

RE2::Options re2_options() {
  RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(kPatternMemoryMax);
  return options;
}

double thread_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= Redactor::kNameBytesMax &&
         std::ranges::all_of(name, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
         });
}

Error wrong(const std::string& rule, const std::string& why, std::string hint = {}) {
  return invalid_argument(fmt::format("redaction rule '{}': {}", escape_control(rule), why),
                          std::move(hint));
}

// The name of an escape (\n) is no part of the word behind it, or JSON in a text would break.
std::size_t after_escape(std::string_view text, std::size_t at) {
  constexpr std::string_view kNames = "nrtbf";
  if (kNames.find(text[at]) == std::string_view::npos) return at;
  std::size_t slashes = 0;
  while (slashes < at && text[at - 1 - slashes] == '\\') ++slashes;
  return slashes % 2 == 1 ? at + 1 : at;
}

// False: it took too long.
bool find_all(const RE2& pattern, std::string_view text, double deadline,
              std::vector<Place>& found) {
  constexpr std::size_t kMatchesBetweenLooks = 16;
  re2::StringPiece groups[2];
  const int wanted = std::min(pattern.NumberOfCapturingGroups() + 1, 2);
  const re2::StringPiece whole(text.data(), text.size());
  std::size_t matches = 0;
  for (std::size_t at = 0; at <= text.size();) {
    if (++matches % kMatchesBetweenLooks == 0 && thread_seconds() > deadline) return false;
    if (!pattern.Match(whole, at, text.size(), RE2::UNANCHORED, groups, wanted)) break;
    const bool has_group = wanted == 2 && groups[1].data() != nullptr;
    const re2::StringPiece& place = groups[has_group ? 1 : 0];
    const auto begin = static_cast<std::size_t>(place.data() - text.data());
    const std::size_t end = begin + place.size();
    if (end > begin) found.push_back({begin, end});
    at = std::max(end, at + 1);
    // The next one begins at a character.
    while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80U) ++at;
  }
  return true;
}

}  // namespace

const std::vector<BuiltInRedaction>& built_in_redactions() {
  static const std::vector<BuiltInRedaction> kList = [] {
    std::vector<BuiltInRedaction> list;
    for (const BuiltIn& each : built_ins()) list.push_back(each.told);
    return list;
  }();
  return kList;
}

struct Redactor::Rule {
  std::string name;
  std::string replacement;
  std::vector<std::unique_ptr<RE2>> patterns;
  detail::Finder finder = nullptr;
  mutable std::atomic<std::uint64_t> places{0};
};

struct Redactor::Found {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::size_t rule = 0;
};

// All patterns at once: most texts match none, and need no search for each.
struct Redactor::Prefilter {
  explicit Prefilter(const RE2::Options& options) : set(options, RE2::UNANCHORED) {}
  RE2::Set set;
  std::size_t patterns = 0;
};

Redactor::Redactor() = default;
Redactor::~Redactor() = default;

Result<std::shared_ptr<const Redactor>> Redactor::create(const RedactionOptions& options) {
  std::shared_ptr<Redactor> redactor(new Redactor());
  if (options.rules.size() > kRulesMax) {
    return invalid_argument(
        fmt::format("{} redaction rules, the limit is {}", options.rules.size(), kRulesMax),
        "join some with |");
  }
  const auto is_taken = [&](const std::string& name) {
    return std::ranges::any_of(redactor->rules_,
                               [&](const auto& rule) { return rule->name == name; }) ||
           std::ranges::any_of(built_ins(),
                               [&](const BuiltIn& each) { return each.told.name == name; });
  };
  for (const RedactionRule& given : options.rules) {
    if (!is_name(given.name)) {
      return wrong(given.name,
                   fmt::format("a name is 1 to {} of a-z, 0-9, _ and -", kNameBytesMax));
    }
    if (is_taken(given.name)) return wrong(given.name, "there is one of that name", "rename it");
    if (given.pattern.empty() || given.pattern.size() > kPatternBytesMax) {
      return wrong(given.name, fmt::format("its pattern has {} bytes, it takes 1 to {}",
                                           given.pattern.size(), kPatternBytesMax));
    }
    if (given.replacement.size() > kReplacementBytesMax) {
      return wrong(given.name, fmt::format("its replacement has {} bytes, the limit is {}",
                                           given.replacement.size(), kReplacementBytesMax));
    }
    auto rule = std::make_unique<Rule>();
    rule->name = given.name;
    rule->replacement = given.replacement;
    rule->patterns.push_back(std::make_unique<RE2>(given.pattern, re2_options()));
    if (!rule->patterns[0]->ok()) {
      return wrong(given.name,
                   fmt::format("its pattern is no regular expression: {}",
                               escape_control(rule->patterns[0]->error())),
                   "the syntax is RE2's, which has neither look-around nor back-references");
    }
    if (RE2::PartialMatch("", *rule->patterns[0])) {
      return wrong(given.name, "its pattern matches the empty text",
                   "write + where it has *, or give it something that must be there");
    }
    redactor->rules_.push_back(std::move(rule));
  }
  for (const auto& [name, is_on] : options.built_in) {
    if (std::ranges::none_of(built_ins(),
                             [&](const BuiltIn& each) { return each.told.name == name; })) {
      std::string known;
      for (const BuiltIn& each : built_ins()) {
        known += fmt::format("{}{}", known.empty() ? "" : ", ", each.told.name);
      }
      return wrong(name, "no built-in rule has this name", "choose of " + known);
    }
  }
  for (const BuiltIn& each : built_ins()) {
    const auto said = options.built_in.find(each.told.name);
    if (!(said == options.built_in.end() ? each.told.is_on : said->second)) continue;
    auto rule = std::make_unique<Rule>();
    rule->name = each.told.name;
    rule->replacement = each.told.replacement;
    rule->finder = each.finder;
    for (const char* pattern : each.patterns) {
      rule->patterns.push_back(std::make_unique<RE2>(pattern, re2_options()));
      if (!rule->patterns.back()->ok()) {
        return wrong(rule->name, rule->patterns.back()->error());
      }
    }
    redactor->rules_.push_back(std::move(rule));
  }
  redactor->make_prefilter();
  return std::shared_ptr<const Redactor>(std::move(redactor));
}

void Redactor::make_prefilter() {
  RE2::Options options = re2_options();
  options.set_max_mem(kPrefilterMemoryMax);
  auto made = std::make_unique<Prefilter>(options);
  for (const auto& rule : rules_) {
    for (const auto& pattern : rule->patterns) {
      if (made->set.Add(pattern->pattern(), nullptr) < 0) return;
      ++made->patterns;
    }
  }
  if (made->patterns > 0 && made->set.Compile()) prefilter_ = std::move(made);
}

bool Redactor::search(std::string_view text, double deadline, std::vector<Found>& found) const {
  std::vector<Place> places;
  // Without one, or where its memory does not do for this text, each pattern is searched for.
  std::vector<int> matching;
  RE2::Set::ErrorInfo info{};
  const bool is_known = prefilter_ != nullptr &&
                        (prefilter_->set.Match({text.data(), text.size()}, &matching, &info) ||
                         info.kind == RE2::Set::kNoError);
  std::vector<bool> is_there(is_known ? prefilter_->patterns : 0, false);
  for (const int each : matching) {
    if (is_known) is_there[static_cast<std::size_t>(each)] = true;
  }
  std::size_t number = 0;  // of the pattern, over all rules
  for (std::size_t i = 0; i < rules_.size(); ++i) {
    places.clear();
    if (rules_[i]->finder != nullptr) rules_[i]->finder(text, places);
    for (const auto& pattern : rules_[i]->patterns) {
      if (is_known && !is_there[number++]) continue;
      if (!find_all(*pattern, text, deadline, places)) return false;
    }
    for (const Place& place : places) found.push_back({place.begin, place.end, i});
    if (thread_seconds() > deadline) return false;
  }
  return true;
}

std::optional<std::string> Redactor::redact(std::string_view text) const {
  if (text.size() > kTextBytesMax) return std::nullopt;
  const double deadline = thread_seconds() + kSecondsMax;
  std::vector<Found> found;
  if (!search(text, deadline, found)) return std::nullopt;
  for (Found& place : found) place.begin = after_escape(text, place.begin);
  std::optional<detail::FoldedText> folded = detail::fold(text);
  for (int i = 0; i < kFoldsMax && folded; ++i) {
    const std::size_t known = found.size();
    if (!search(folded->text, deadline, found)) return std::nullopt;
    for (std::size_t place = known; place < found.size(); ++place) {
      found[place].begin = folded->begins[found[place].begin];
      found[place].end = folded->ends[found[place].end - 1];
    }
    folded = detail::fold_again(*folded);
  }
  std::ranges::sort(found, [](const Found& a, const Found& b) {
    return std::pair(a.begin, a.rule) < std::pair(b.begin, b.rule);
  });
  std::string out;
  std::size_t at = 0;
  for (std::size_t i = 0; i < found.size();) {
    Found place = found[i];
    // What overlaps goes with it.
    for (++i; i < found.size() && found[i].begin < place.end; ++i) {
      place.end = std::max(place.end, found[i].end);
    }
    out += text.substr(at, place.begin - at);
    out += rules_[place.rule]->replacement;
    rules_[place.rule]->places.fetch_add(1, std::memory_order_relaxed);
    at = place.end;
  }
  out += text.substr(at);
  return out;
}

std::vector<Redactor::Count> Redactor::counts() const {
  std::vector<Count> counts;
  for (const auto& rule : rules_) counts.push_back({rule->name, rule->places.load()});
  return counts;
}

}  // namespace paring::monitor
