// SPDX-License-Identifier: Apache-2.0
#include "monitor/scraper.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "base/random.h"

namespace paring::monitor {
namespace {

constexpr const char* kPage = R"(# HELP vllm:num_requests_running Number of requests.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a \"b\" \\ c"} 3.0
# HELP vllm:ttft_seconds Time.
# TYPE vllm:ttft_seconds histogram
vllm:ttft_seconds_bucket{le="0.1",instance="theirs"} 1
vllm:ttft_seconds_bucket{le="+Inf",instance="theirs"} 2
vllm:ttft_seconds_sum 0.25
vllm:ttft_seconds_count 2

# a comment
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{model_name="a"} 100 1700000000000
vllm:generation_tokens_total{ model_name = "b" , } 1e2
nothing_said -Inf
)";

TEST(MetricsPage, ReadsAndWritesAPage) {
  const MetricsPage page = MetricsPage::parse(kPage);
  EXPECT_EQ(page.bad(), 0U);
  EXPECT_EQ(page.samples(), 8U);
  ASSERT_EQ(page.families().size(), 4U);
  const MetricsFamily& histogram = page.families().at("vllm:ttft_seconds");
  EXPECT_EQ(histogram.type, "histogram");
  EXPECT_EQ(histogram.samples.size(), 4U);
  EXPECT_EQ(page.families().at("nothing_said").type, "untyped");
  EXPECT_EQ(page.families().at("nothing_said").samples[0].value, -HUGE_VAL);
  EXPECT_EQ(page.families().at("vllm:generation_tokens_total").samples[1].value, 100);
  // What is written is read as the same.
  const std::string text = page.text();
  EXPECT_EQ(MetricsPage::parse(text).text(), text);
  EXPECT_NE(
      text.find("vllm:num_requests_running{engine=\"0\",model_name=\"a \\\"b\\\" \\\\ c\"} 3"),
      std::string::npos);
}

TEST(MetricsPage, LeavesOutWhatIsNoLine) {
  for (const char* line : {"1abc 3", "a", "a{} ", "a{b} 1", "a{b=c} 1", "a{b=\"c} 1",
                           "a{b=\"c\\x\"} 1", "a{b=\"\\", "a 1x", "a 1 x", "a{b=\"c\" d=\"e\"} 1",
                           "# TYPE a nonsense", "# HELP", "a 1e999", "{} 1"}) {
    const MetricsPage page = MetricsPage::parse(std::string(line) + "\ngood 1\n");
    EXPECT_EQ(page.bad(), 1U) << line;
    EXPECT_EQ(page.samples(), 1U) << line;
  }
}

TEST(MetricsPage, IsBounded) {
  std::string text;
  for (std::size_t i = 0; i < MetricsPage::kSamplesMax + 10; ++i) {
    text += "m" + std::to_string(i) + " 1\n";
  }
  const MetricsPage many = MetricsPage::parse(text);
  EXPECT_EQ(many.samples(), MetricsPage::kSamplesMax);
  EXPECT_EQ(many.bad(), 10U);
  EXPECT_EQ(MetricsPage::parse(std::string(300, 'a') + " 1\n").samples(), 0U);
  const MetricsPage large = MetricsPage::parse("a 1\n" + std::string(MetricsPage::kBytesMax, ' '));
  EXPECT_EQ(large.samples(), 1U);
  EXPECT_EQ(large.bad(), 1U);
}

// Whatever comes, what is written of it is read again without a bad line.
TEST(MetricsPage, StandsDamage) {
  RandomStream random({.seed = 7});
  const std::string_view odd = "{}\"\\=,# \n\x01\xff_e+";
  for (int round = 0; round < 3000; ++round) {
    std::string text = kPage;
    for (int change = 0; change < 4; ++change) {
      const std::uint32_t place = random.below(static_cast<std::uint32_t>(text.size()));
      text[place] = odd[random.below(static_cast<std::uint32_t>(odd.size()))];
    }
    MetricsPage page = MetricsPage::parse(text);
    page.set_label("instance", "h:1");
    const MetricsPage again = MetricsPage::parse(page.text());
    EXPECT_EQ(again.bad(), 0U) << text;
    EXPECT_EQ(again.samples(), page.samples()) << text;
  }
}

TEST(MetricsPage, JoinsPages) {
  MetricsPage own =
      MetricsPage::parse("# TYPE a counter\na 1\n# TYPE b gauge\nb 2\n# TYPE empty gauge\n");
  const MetricsPage other = MetricsPage::parse(
      "# TYPE a counter\na{x=\"y\"} 3\n# TYPE b counter\nb 4\n# TYPE empty counter\nempty 5\n");
  own.add(other);
  EXPECT_EQ(own.text(),
            "# TYPE a counter\na 1\na{x=\"y\"} 3\n# TYPE b gauge\nb 2\n"
            "# TYPE empty counter\nempty 5\n");
  EXPECT_EQ(own.bad(), 1U);
}

TEST(ParseScrapeUrl, AddsThePathAndRefusesTheRest) {
  EXPECT_EQ(*parse_scrape_url("http://h:1"), "http://h:1/metrics");
  EXPECT_EQ(*parse_scrape_url("https://h:1/"), "https://h:1/metrics");
  EXPECT_EQ(*parse_scrape_url("http://h/a/b"), "http://h/a/b");
  for (const char* wrong :
       {"", "h:1", "ftp://h", "http://", "http:///a", "http://u@h", "http://h h"}) {
    EXPECT_FALSE(parse_scrape_url(wrong).has_value()) << wrong;
  }
}

TEST(IsSameServer, LooksAtTheWholeOfHostAndPort) {
  EXPECT_TRUE(is_same_server("http://h:1/metrics", "http://h:1/v1"));
  EXPECT_FALSE(is_same_server("http://h:12/metrics", "http://h:1"));
  EXPECT_FALSE(is_same_server("http://h:1/metrics", "https://h:1"));
  EXPECT_FALSE(is_same_server("", ""));
}

class ScraperTest : public testing::Test {
 protected:
  FakeClock clock_;
  std::string first_ = kPage;
  bool is_there_ = true;
  Scraper scraper_{{.targets = {{.url = "http://one:1/metrics"}, {.url = "http://two:2/metrics"}}},
                   [this](const ScrapeTarget& target) -> Result<std::string> {
                     if (target.url == "http://one:1/metrics") return first_;
                     if (is_there_) return std::string("# TYPE c counter\nc 5\n");
                     return Error{ErrorCode::kUnavailable, "nobody listens"};
                   },
                   clock_};

  double value(const std::string& name, const std::string& instance,
               const std::string& metric = "") {
    const MetricsPage page = scraper_.page();
    const auto family = page.families().find(name);
    if (family == page.families().end()) return std::nan("");
    for (const MetricsSample& sample : family->second.samples) {
      const bool is_it =
          sample.labels[0] == std::pair<std::string, std::string>("instance", instance);
      if (is_it && (metric.empty() || sample.labels[1].second == metric)) return sample.value;
    }
    return std::nan("");
  }
};

TEST_F(ScraperTest, KeepsTheLastPagesWithTheirInstance) {
  scraper_.scrape();
  EXPECT_EQ(value("paring:scrape_up", "one:1"), 1);
  EXPECT_EQ(value("paring:scrape_samples", "one:1"), 8);
  EXPECT_EQ(value("vllm:num_requests_running", "one:1"), 3);
  EXPECT_EQ(value("c", "two:2"), 5);
  const std::string text = scraper_.page().text();
  EXPECT_NE(text.find("{instance=\"one:1\",le=\"0.1\",exported_instance=\"theirs\"}"),
            std::string::npos);
  EXPECT_EQ(MetricsPage::parse(text).bad(), 0U);
  is_there_ = false;
  scraper_.scrape();
  EXPECT_EQ(value("paring:scrape_up", "two:2"), 0);
  EXPECT_TRUE(std::isnan(value("c", "two:2")));
  EXPECT_EQ(value("vllm:num_requests_running", "one:1"), 3);
}

TEST_F(ScraperTest, TellsHowFastCountersGrow) {
  const char* const counter = "vllm:generation_tokens_total";
  scraper_.scrape();
  EXPECT_TRUE(std::isnan(value("paring:scraped_per_second", "one:1", counter)));
  first_ = "# TYPE vllm:generation_tokens_total counter\nvllm:generation_tokens_total 350\n";
  clock_.advance(10);
  scraper_.scrape();
  EXPECT_EQ(value("paring:scraped_per_second", "one:1", counter), 15);
  // The server began again.
  first_ = "# TYPE vllm:generation_tokens_total counter\nvllm:generation_tokens_total 40\n";
  clock_.advance(10);
  scraper_.scrape();
  EXPECT_EQ(value("paring:scraped_per_second", "one:1", counter), 4);
}

}  // namespace
}  // namespace paring::monitor
