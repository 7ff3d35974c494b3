#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace slora {

enum class AxisScale : std::uint8_t { linear, logarithmic };

struct PlotPoint {
  double x = 0, y = 0;
};

struct PlotSeries {
  std::string name;
  std::vector<PlotPoint> points;  // in the order in which the line visits them
};

// A chart of lines. Points that are not finite, or not positive on a logarithmic axis, are left out, and the line with them: it has a gap.
struct LineChart {
  std::string title, x_label, y_label;
  std::vector<PlotSeries> series;
  AxisScale x_scale = AxisScale::linear, y_scale = AxisScale::linear;
};

// The values at which an axis from `min` to `max` has its ticks: multiples of 1, 2 or 5 times a power of ten that enclose the range, or
// powers of ten with their doubles and fivefolds when the range is short. Requires: min <= max, finite; positive for a logarithmic axis.
[[nodiscard]] std::vector<double> axis_ticks(double min, double max, AxisScale scale);

// The charts below each other as one SVG file that needs nothing else: no script, no style sheet, no font of its own.
[[nodiscard]] std::string svg_of(std::span<const LineChart> charts);

}  // namespace slora
