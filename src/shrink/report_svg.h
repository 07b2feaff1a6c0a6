// SPDX-License-Identifier: Apache-2.0
// Inline SVG for the report: axes with round tick values, marks, and a builder that keeps elements
// balanced. Colours come from classes of the page's style sheet (report.css), so that one drawing
// serves light, dark and print. Text given to the builder is markup: escape it first.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace paring::shrink::report {

struct Tick {
  double value;
  std::string label;
};

// Maps values to pixels from `start` (lowest value) to `end`; outside values land on the ends.
struct Axis {
  double low = 0;
  double high = 1;
  double start = 0;
  double end = 1;
  bool is_log = false;

  double position(double value) const noexcept;
  std::vector<Tick> ticks(std::size_t count_wanted) const;
};

struct AxisRange {
  double start = 0;  // pixels
  double end = 1;
  bool from_zero = false;  // linear axes only
  bool allow_log = false;  // logarithmic when all values are positive and span a factor of 8
  bool pad_low = true;     // leave room below the lowest value
};

// An axis that holds all plottable values; [0, 1] when there is none. Log axes span at most 9
// decades below the largest value: what lies under them is drawn on the edge.
Axis fit_axis(std::span<const double> values, const AxisRange& range);

enum class Mark { kCircle, kSquare, kDiamond, kTriangle, kTriangleDown, kHexagon, kStar, kPlus };
// The shape for the n-th series of a chart; repeats after six.
Mark series_mark(std::size_t series) noexcept;

struct Box {
  double x = 0;
  double y = 0;
  double width = 0;
  double height = 0;
  bool overlaps(const Box& other) const noexcept;
};

enum class Anchor { kStart, kMiddle, kEnd };

struct SvgFrame {
  double width;
  double height;
  std::string_view id;           // unique in the page, a literal
  std::string_view title;        // markup
  std::string_view description;  // markup; what a reader who cannot see the picture needs
};

class Svg {
 public:
  explicit Svg(const SvgFrame& frame);

  // A group that shows `tip` (markup) when pointed at.
  void open_tip(std::string_view tip);
  void open(std::string_view css_class);
  void close();

  void line(double x1, double y1, double x2, double y2, std::string_view css_class);
  // `points` as x, y pairs.
  void polyline(std::span<const double> points, std::string_view css_class);
  void rect(const Box& box, std::string_view css_class, double corner = 0);
  void mark(Mark mark, double x, double y, double radius, std::string_view css_class);
  void text(double x, double y, std::string_view markup, std::string_view css_class,
            Anchor anchor = Anchor::kStart);
  // Reads from bottom to top, centred on (x, y).
  void text_upward(double x, double y, std::string_view markup, std::string_view css_class);

  // Grid lines, tick labels and the title of a horizontal axis at the bottom of `area`, or of a
  // vertical one at its left.
  void x_axis(const Axis& axis, const Box& area, std::string_view title);
  void y_axis(const Axis& axis, const Box& area, std::string_view title);

  // The finished element.
  std::string take();

 private:
  std::string out_;
  std::size_t depth_ = 0;
};

// A label of that size for the mark at (x, y), `gap` away from it.
struct LabelWish {
  double x;
  double y;
  double width;
  double height;
  double gap = 7;
};

// Places labels near marks without overlaps.
class LabelPlacer {
 public:
  explicit LabelPlacer(const Box& area) : area_(area) {}
  // Keeps labels away from here.
  void block(const Box& box) { taken_.push_back(box); }
  // The first free box beside the mark, or false.
  bool place(const LabelWish& wish, Box* placed);

 private:
  Box area_;
  std::vector<Box> taken_;
};

}  // namespace paring::shrink::report
