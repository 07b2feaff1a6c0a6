// SPDX-License-Identifier: Apache-2.0
// A page of metrics in Prometheus' text format (version 0.0.4), as other servers write it: read
// within bounds, labelled anew, joined with others, written again. Plain values.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace paring::monitor {

struct MetricsSample {
  std::string name;  // of a histogram with its ending: "x_bucket"
  // Values as they are written, with their escapes.
  std::vector<std::pair<std::string, std::string>> labels;
  double value = 0;
};

struct MetricsFamily {
  std::string help;  // as it is written
  std::string type = "untyped";
  std::vector<MetricsSample> samples;
};

class MetricsPage {
 public:
  static constexpr std::size_t kBytesMax = std::size_t{8} << 20;
  static constexpr std::size_t kSamplesMax = 50000;
  static constexpr std::size_t kNameBytesMax = 256;
  static constexpr std::size_t kLabelsMax = 64;

  // Lines that are none of the format are left out and counted, so are those beyond the bounds.
  // Times of samples are dropped.
  static MetricsPage parse(std::string_view text);

  // Sets a label of every sample; one of that name that was there is called "exported_NAME" then.
  void set_label(const std::string& name, std::string_view value);
  // Takes over the families of another page. One whose type contradicts ours is left out and
  // counted as bad.
  void add(const MetricsPage& other);
  // Of one gauge.
  void add_gauge(const std::string& name, std::string_view help, MetricsSample sample);

  const std::map<std::string, MetricsFamily>& families() const noexcept { return families_; }
  std::size_t samples() const noexcept { return samples_; }
  std::size_t bad() const noexcept { return bad_; }
  std::string text() const;

 private:
  void read_line(std::string_view line);
  void read_comment(std::string_view line);
  bool read_sample(std::string_view line);
  MetricsFamily& family_of(const std::string& sample_name);

  std::map<std::string, MetricsFamily> families_;
  std::size_t samples_ = 0;
  std::size_t bad_ = 0;
};

// A text as the value of a label.
std::string escape_label(std::string_view text);

}  // namespace paring::monitor
