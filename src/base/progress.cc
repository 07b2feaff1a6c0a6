// SPDX-License-Identifier: Apache-2.0
#include "base/progress.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <mutex>

#include "base/text.h"

namespace paring {
namespace {

constexpr double kBarSeconds = 0.1;  // at most ten redraws a second
constexpr double kLineSeconds = 10;  // a log is read later: few lines
// No "left" before there is a rate to go by.
constexpr double kEstimateSeconds = 3;
constexpr std::uint64_t kEstimateSteps = 2;
constexpr double kMarkSeconds = 0.5;  // between the moments that the rate is taken from
constexpr std::size_t kMarksMax = 24;
constexpr int kBarWidth = 24;

void write_stderr(std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = write(STDERR_FILENO, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return;  // progress is not worth failing for
    text.remove_prefix(static_cast<std::size_t>(count));
  }
}

class SilentProgress final : public ProgressSink {
 public:
  void begin(std::string_view, std::uint64_t, ProgressUnit) override {}
  void advance(std::uint64_t) override {}
  void end() override {}
};

class TextProgress final : public ProgressSink {
 public:
  explicit TextProgress(ProgressOptions options)
      : is_bar_(options.style == ProgressStyle::kBar),
        clock_(options.clock != nullptr ? *options.clock : system_clock()),
        write_(options.write ? std::move(options.write) : write_stderr) {}
  ~TextProgress() override { end(); }

  void begin(std::string_view label, std::uint64_t total, ProgressUnit unit) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (is_open_) finish();
    label_ = escape_control(label);
    total_ = total;
    done_ = 0;
    unit_ = unit;
    is_open_ = true;
    started_ = shown_ = clock_.monotonic_seconds();
    marks_.clear();
    left_ = -1;
    if (is_bar_) show();
  }

  void advance(std::uint64_t units) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!is_open_) return;
    done_ += units;
    const double now = clock_.monotonic_seconds();
    mark(now);
    if (now - shown_ < (is_bar_ ? kBarSeconds : kLineSeconds)) return;
    shown_ = now;
    show();
  }

  void end() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (is_open_) finish();
  }

 private:
  std::string amount(std::uint64_t units) const {
    return unit_ == ProgressUnit::kBytes ? format_bytes(units) : fmt::format("{}", units);
  }

  // What was done by when, now and then. The way to the first mark is not counted: first units
  // prepare for the others.
  void mark(double now) {
    if (!marks_.empty() && now - marks_.back().seconds < kMarkSeconds) return;
    if (marks_.size() == kMarksMax) marks_.pop_front();
    marks_.push_back({now, done_});
  }

  // Seconds left by the rate since the oldest mark, drawn towards what was said before so that one
  // slow unit does not throw it about. Negative: not yet known.
  double estimate(double elapsed) {
    constexpr double kNew = 0.4;
    const double now = clock_.monotonic_seconds();
    if (elapsed < kEstimateSeconds || done_ < kEstimateSteps || marks_.empty()) return -1;
    const Mark& from = marks_.front();
    if (done_ <= from.done || now <= from.seconds) return -1;
    const double rate = static_cast<double>(done_ - from.done) / (now - from.seconds);
    const double fresh = static_cast<double>(total_ - std::min(total_, done_)) / rate;
    const double before = left_ - (now - estimated_);
    left_ = left_ < 0 ? fresh : std::max(0.0, before + kNew * (fresh - before));
    estimated_ = now;
    return left_;
  }

  void show() {
    const double elapsed = clock_.monotonic_seconds() - started_;
    std::string text = label_ + ": ";
    if (total_ == 0) {
      text += fmt::format("{}, {}", amount(done_), format_duration(elapsed));
    } else {
      const double share = std::min(1.0, static_cast<double>(done_) / static_cast<double>(total_));
      if (is_bar_) {
        const int filled = static_cast<int>(share * kBarWidth);
        text += fmt::format("[{:#<{}}{:.<{}}] ", "", filled, "", kBarWidth - filled);
      }
      text += fmt::format("{:3.0f}%, {} of {}", share * 100.0, amount(done_), amount(total_));
      if (share < 1) {
        if (const double left = estimate(elapsed); left >= 0) {
          text += fmt::format(", {} left", format_duration(left));
        }
      }
    }
    // \r and "erase to the end of the line" redraw the bar in place.
    write_(is_bar_ ? "\r" + text + "\x1b[K" : text + "\n");
  }

  void finish() {
    is_open_ = false;
    const double elapsed = clock_.monotonic_seconds() - started_;
    const std::string text =
        fmt::format("{}: {} in {}\n", label_, amount(done_), format_duration(elapsed));
    write_(is_bar_ ? "\r\x1b[K" + text : text);
  }

  const bool is_bar_;
  const Clock& clock_;
  const std::function<void(std::string_view)> write_;
  std::mutex mutex_;
  std::string label_;
  std::uint64_t total_ = 0;
  std::uint64_t done_ = 0;
  ProgressUnit unit_ = ProgressUnit::kItems;
  bool is_open_ = false;
  double started_ = 0;
  double shown_ = 0;
  struct Mark {
    double seconds;
    std::uint64_t done;
  };
  std::deque<Mark> marks_;
  double left_ = -1;  // as last estimated, at estimated_; negative: not yet
  double estimated_ = 0;
};

class PrefixedProgress final : public ProgressSink {
 public:
  PrefixedProgress(ProgressSink& sink, std::string prefix)
      : sink_(sink), prefix_(std::move(prefix)) {}
  void begin(std::string_view label, std::uint64_t total, ProgressUnit unit) override {
    sink_.begin(fmt::format("{}: {}", prefix_, label), total, unit);
  }
  void advance(std::uint64_t units) override { sink_.advance(units); }
  void end() override { sink_.end(); }

 private:
  ProgressSink& sink_;
  std::string prefix_;
};

}  // namespace

ProgressStyle progress_style(bool is_quiet) noexcept {
  if (is_quiet) return ProgressStyle::kSilent;
  return isatty(STDERR_FILENO) == 1 ? ProgressStyle::kBar : ProgressStyle::kLines;
}

std::unique_ptr<ProgressSink> make_progress(ProgressOptions options) {
  if (options.style == ProgressStyle::kSilent) return std::make_unique<SilentProgress>();
  return std::make_unique<TextProgress>(std::move(options));
}

std::unique_ptr<ProgressSink> prefixed_progress(ProgressSink& sink, std::string prefix) {
  return std::make_unique<PrefixedProgress>(sink, std::move(prefix));
}

ProgressSink& silent_progress() noexcept {
  static SilentProgress sink;
  return sink;
}

}  // namespace paring
