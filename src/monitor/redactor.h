// SPDX-License-Identifier: Apache-2.0
// Redactor: takes what tells of people, and secrets, out of text before it is written down: by
// rules that are built in (kinds of personal data, keys and tokens), and by regular expressions of
// the operator. Time is linear in the text for every pattern (RE2: no backtracking, so neither
// look-around nor back-references), and bounded. Thread-safe.
//
//   PARING_TRY(const auto redactor, monitor::Redactor::create({}));
//   redactor->redact("mail me@example.com");  // "mail [EMAIL]"
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace paring::monitor {

// An operator's own. A pattern with a group takes only what its first group matched.
struct RedactionRule {
  std::string name;
  std::string pattern;      // RE2's syntax
  std::string replacement;  // taken as it is
};

struct RedactionOptions {
  std::vector<RedactionRule> rules{};
  std::map<std::string, bool> built_in{};  // those that are on or off against their default
};

struct BuiltInRedaction {
  const char* name;
  const char* replacement;
  bool is_on;
  const char* what;
};
const std::vector<BuiltInRedaction>& built_in_redactions();

class Redactor {
 public:
  static constexpr std::size_t kRulesMax = 256;
  static constexpr std::size_t kPatternBytesMax = 4096;
  static constexpr std::size_t kReplacementBytesMax = 256;
  static constexpr std::size_t kNameBytesMax = 64;
  // Longer texts are not searched.
  static constexpr std::size_t kTextBytesMax = std::size_t{1} << 20;
  // Of processor time a text; a pattern may be bad at finding many matches.
  static constexpr double kSecondsMax = 2;

  // InvalidArgument, naming the rule: a pattern that is none or matches the empty text, a name that
  // is taken or has other characters than a-z, 0-9, '_' and '-', no such built-in rule, a limit.
  static Result<std::shared_ptr<const Redactor>> create(const RedactionOptions& options);
  ~Redactor();
  Redactor(const Redactor&) = delete;
  Redactor& operator=(const Redactor&) = delete;

  // Nothing: it is too long or took too long, and must not be written. The rest stays byte for
  // byte. What is found in a plainer spelling of the text is taken out as well.
  std::optional<std::string> redact(std::string_view text) const;

  struct Count {
    std::string rule;
    std::uint64_t places = 0;
  };
  // Of places that were replaced since the start, in the order of the rules.
  std::vector<Count> counts() const;

 private:
  struct Rule;
  struct Found;
  struct Prefilter;
  Redactor();
  void make_prefilter();
  // False: it took too long.
  bool search(std::string_view text, double deadline, std::vector<Found>& found) const;
  std::vector<std::unique_ptr<Rule>> rules_;
  std::unique_ptr<Prefilter> prefilter_;
};

}  // namespace paring::monitor
