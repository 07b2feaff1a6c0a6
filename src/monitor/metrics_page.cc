// SPDX-License-Identifier: Apache-2.0
#include "monitor/metrics_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>
#include <optional>

namespace paring::monitor {

namespace {

bool is_letter(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':';
}
bool is_of_name(char c) noexcept { return is_letter(c) || (c >= '0' && c <= '9'); }

// What is left of a line.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : left_(text) {}
  void skip_blanks() {
    while (!left_.empty() && (left_.front() == ' ' || left_.front() == '\t')) {
      left_.remove_prefix(1);
    }
  }
  bool take(char c) {
    if (left_.empty() || left_.front() != c) return false;
    left_.remove_prefix(1);
    return true;
  }
  // Empty when there is none.
  std::string_view take_name() {
    if (left_.empty() || !is_letter(left_.front())) return {};
    const auto end = std::find_if_not(left_.begin(), left_.end(), is_of_name);
    return take_bytes(static_cast<std::size_t>(end - left_.begin()));
  }
  std::string_view take_word() {
    return take_bytes(std::min(left_.find_first_of(" \t"), left_.size()));
  }
  // Up to the quote that ends it, which is taken.
  std::optional<std::string_view> take_quoted() {
    if (!take('"')) return std::nullopt;
    std::size_t end = 0;
    while (end < left_.size() && left_[end] != '"') {
      if (left_[end] == '\\') {
        if (end + 1 == left_.size()) return std::nullopt;
        const char next = left_[end + 1];
        if (next != '\\' && next != '"' && next != 'n') return std::nullopt;
        ++end;
      }
      ++end;
    }
    if (end >= left_.size()) return std::nullopt;
    const std::string_view text = take_bytes(end);
    take('"');
    return text;
  }
  std::string_view rest() const { return left_; }

 private:
  std::string_view take_bytes(std::size_t count) {
    const std::string_view taken = left_.substr(0, count);
    left_.remove_prefix(count);
    return taken;
  }
  std::string_view left_;
};

std::optional<double> number_in(std::string_view text) {
  if (text == "+Inf" || text == "Inf") return HUGE_VAL;
  if (text == "-Inf") return -HUGE_VAL;
  if (text == "NaN") return std::nan("");
  if (text.starts_with('+')) text.remove_prefix(1);
  double value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || !std::isfinite(value)) return std::nullopt;
  return value;
}

std::string number_text(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  return fmt::format("{}", value);
}

bool is_type(std::string_view type) {
  constexpr std::string_view kTypes[] = {"counter", "gauge", "histogram", "summary", "untyped"};
  return std::find(std::begin(kTypes), std::end(kTypes), type) != std::end(kTypes);
}

}  // namespace

std::string escape_label(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c == '\\' || c == '"') result += '\\';
    result += c == '\n' ? ' ' : c;
  }
  return result;
}

MetricsPage MetricsPage::parse(std::string_view text) {
  MetricsPage page;
  if (text.size() > kBytesMax) {
    ++page.bad_;
    text = text.substr(0, text.rfind('\n', kBytesMax) + 1);
  }
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    page.read_line(line);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return page;
}

void MetricsPage::read_line(std::string_view line) {
  Cursor cursor(line);
  cursor.skip_blanks();
  if (cursor.rest().empty()) return;
  if (cursor.rest().front() == '#') {
    read_comment(cursor.rest());
  } else if (!read_sample(cursor.rest())) {
    ++bad_;
  }
}

void MetricsPage::read_comment(std::string_view line) {
  Cursor cursor(line);
  cursor.take('#');
  cursor.skip_blanks();
  const std::string_view kind = cursor.take_word();
  if (kind != "HELP" && kind != "TYPE") return;
  cursor.skip_blanks();
  const std::string name(cursor.take_name());
  cursor.skip_blanks();
  const std::string_view rest = cursor.rest();
  const bool is_known = families_.contains(name);
  if (name.empty() || name.size() > kNameBytesMax ||
      (!is_known && families_.size() >= kSamplesMax)) {
    ++bad_;
  } else if (kind == "HELP") {
    families_[name].help = rest.substr(0, kNameBytesMax * 4);
  } else if (is_type(rest)) {
    families_[name].type = rest;
  } else {
    ++bad_;
  }
}

MetricsFamily& MetricsPage::family_of(const std::string& sample_name) {
  const auto found = families_.find(sample_name);
  if (found != families_.end()) return found->second;
  for (const std::string_view ending : {"_bucket", "_sum", "_count"}) {
    if (!sample_name.ends_with(ending)) continue;
    const auto base = families_.find(sample_name.substr(0, sample_name.size() - ending.size()));
    const bool has_parts = base != families_.end() &&
                           (base->second.type == "histogram" || base->second.type == "summary");
    if (has_parts) return base->second;
  }
  return families_[sample_name];
}

bool MetricsPage::read_sample(std::string_view line) {
  if (samples_ >= kSamplesMax) return false;
  Cursor cursor(line);
  MetricsSample sample;
  sample.name = cursor.take_name();
  if (sample.name.empty() || sample.name.size() > kNameBytesMax) return false;
  cursor.skip_blanks();
  if (cursor.take('{')) {
    for (cursor.skip_blanks(); !cursor.take('}'); cursor.skip_blanks()) {
      const std::string_view name = cursor.take_name();
      cursor.skip_blanks();
      if (name.empty() || name.size() > kNameBytesMax || !cursor.take('=')) return false;
      cursor.skip_blanks();
      const auto value = cursor.take_quoted();
      if (!value || sample.labels.size() == kLabelsMax) return false;
      sample.labels.emplace_back(name, *value);
      cursor.skip_blanks();
      if (!cursor.take(',') && !cursor.rest().starts_with('}')) return false;
    }
    cursor.skip_blanks();
  }
  const auto value = number_in(cursor.take_word());
  cursor.skip_blanks();
  const std::string_view time = cursor.take_word();  // or the '#' before an exemplar
  if (!value || (!time.empty() && time != "#" && !number_in(time))) return false;
  sample.value = *value;
  family_of(sample.name).samples.push_back(std::move(sample));
  ++samples_;
  return true;
}

void MetricsPage::set_label(const std::string& name, std::string_view value) {
  for (auto& [family_name, family] : families_) {
    for (MetricsSample& sample : family.samples) {
      for (auto& label : sample.labels) {
        if (label.first == name) label.first = "exported_" + name;
      }
      sample.labels.insert(sample.labels.begin(), {name, escape_label(value)});
    }
  }
}

void MetricsPage::add(const MetricsPage& other) {
  bad_ += other.bad_;
  for (const auto& [name, family] : other.families_) {
    if (family.samples.empty()) continue;
    const auto [mine, is_new] = families_.try_emplace(name, family);
    if (!is_new) {
      MetricsFamily& known = mine->second;
      if (known.samples.empty()) known.type = family.type;
      if (known.type != family.type) {
        ++bad_;
        continue;
      }
      known.samples.insert(known.samples.end(), family.samples.begin(), family.samples.end());
    }
    samples_ += family.samples.size();
  }
}

void MetricsPage::add_gauge(const std::string& name, std::string_view help, MetricsSample sample) {
  MetricsFamily& family = families_[name];
  family.help = help;
  family.type = "gauge";
  sample.name = name;
  family.samples.push_back(std::move(sample));
  ++samples_;
}

std::string MetricsPage::text() const {
  std::string text;
  for (const auto& [name, family] : families_) {
    if (family.samples.empty()) continue;
    if (!family.help.empty()) text += fmt::format("# HELP {} {}\n", name, family.help);
    text += fmt::format("# TYPE {} {}\n", name, family.type);
    for (const MetricsSample& sample : family.samples) {
      text += sample.name;
      char before = '{';
      for (const auto& [label, value] : sample.labels) {
        text += before;
        text += label + "=\"" + value + '"';
        before = ',';
      }
      if (!sample.labels.empty()) text += '}';
      text += ' ' + number_text(sample.value) + '\n';
    }
  }
  return text;
}

}  // namespace paring::monitor
