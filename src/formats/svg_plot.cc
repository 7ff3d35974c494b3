#include "formats/svg_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <iterator>
#include <limits>
#include <string_view>

namespace slora {
namespace {

// In pixels. The legend lies to the right of the plot, as wide as its longest name.
constexpr double kHeight = 380;                            // of a chart
constexpr double kPlotWidth = 492, kPlotHeight = 280;      // between the axes
constexpr double kLeft = 78, kTop = 44;                    // where the plot begins
constexpr double kLegendLine = 44, kCharacterWidth = 7.2;  // of a sans-serif font of 12 pixels, at most on average
constexpr int kTicksWanted = 6;
// Okabe and Ito's colours, which people with every kind of colour vision can distinguish.
constexpr std::array<std::string_view, 7> kColours = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"};
constexpr std::array<std::string_view, 3> kDashes = {"none", "7 3", "2 3"};  // the next when the colours are used up

// XML allows no control characters but these three, not even as references.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += static_cast<unsigned char>(c) >= 0x20 || c == '\t' || c == '\n' || c == '\r' ? c : '?';
    }
  }
  return out;
}

// The step between ticks of a linear axis: 1, 2 or 5 times a power of ten.
double linear_step(double span) {
  const double rough = span / kTicksWanted, power = std::pow(10, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= rough * 0.999) return factor * power;
  }
  return 10 * power;
}

// Ticks at every power of ten; over at most two decades also at 2 and 5 times it.
std::vector<double> logarithmic_ticks(double min, double max) {
  const bool is_short = max / min <= 100;
  std::vector<double> all;
  for (double exponent = std::floor(std::log10(min)) - 1; exponent <= std::ceil(std::log10(max)) + 1; ++exponent) {
    for (const double factor : {1.0, 2.0, 5.0}) {
      if (factor == 1 || is_short) all.push_back(factor * std::pow(10, exponent));
    }
  }
  std::size_t first = 0, last = all.size() - 1;
  while (first + 1 < last && all[first + 1] <= min * (1 + 1e-9)) ++first;
  while (last - 1 > first && all[last - 1] >= max * (1 - 1e-9)) --last;
  return {all.begin() + static_cast<std::ptrdiff_t>(first), all.begin() + static_cast<std::ptrdiff_t>(last) + 1};
}

bool is_shown(double value, AxisScale scale) { return std::isfinite(value) && (scale == AxisScale::linear || value > 0); }

// One axis: its ticks, and where values lie on it.
class Axis {
 public:
  Axis(double min, double max, AxisScale scale) : scale_(scale), ticks_(axis_ticks(min, max, scale)) {}

  [[nodiscard]] const std::vector<double>& ticks() const { return ticks_; }
  // From 0 to 1.
  [[nodiscard]] double place(double value) const {
    return (scaled(value) - scaled(ticks_.front())) / (scaled(ticks_.back()) - scaled(ticks_.front()));
  }

 private:
  [[nodiscard]] double scaled(double value) const { return scale_ == AxisScale::linear ? value : std::log10(value); }

  AxisScale scale_;
  std::vector<double> ticks_;
};

// Draws one chart.
class ChartWriter {
 public:
  ChartWriter(std::string& out, const LineChart& chart, double top)
      : out_(out), chart_(chart), top_(top), x_(axis_of(&PlotPoint::x, chart.x_scale)), y_(axis_of(&PlotPoint::y, chart.y_scale)) {}

  void write() {
    put("<g transform=\"translate(0 {})\">\n", top_);
    put("<text x=\"{}\" y=\"26\" font-size=\"15\" font-weight=\"bold\">{}</text>\n", kLeft, escaped(chart_.title));
    write_axes();
    for (std::size_t i = 0; i < chart_.series.size(); ++i) write_series(i);
    put("</g>\n");
  }

 private:
  template <class... Args>
  void put(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(out_), format, std::forward<Args>(args)...);
  }

  // Over the points that are shown. A linear axis of values that are not negative begins at 0.
  [[nodiscard]] Axis axis_of(double PlotPoint::*member, AxisScale scale) const {
    double min = std::numeric_limits<double>::infinity(), max = -min;
    for (const PlotSeries& series : chart_.series) {
      for (const PlotPoint& point : series.points) {
        if (!is_point_shown(point)) continue;
        min = std::min(min, point.*member);
        max = std::max(max, point.*member);
      }
    }
    if (min > max) min = max = 1;
    if (scale == AxisScale::linear && min > 0) min = 0;
    return {min, max, scale};
  }

  [[nodiscard]] bool is_point_shown(const PlotPoint& point) const {
    return is_shown(point.x, chart_.x_scale) && is_shown(point.y, chart_.y_scale);
  }
  [[nodiscard]] double x_pixel(double value) const { return kLeft + kPlotWidth * x_.place(value); }
  [[nodiscard]] double y_pixel(double value) const { return kTop + kPlotHeight * (1 - y_.place(value)); }

  void write_axes() {
    constexpr double kEnd = kLeft + kPlotWidth, kBase = kTop + kPlotHeight;
    for (const double tick : x_.ticks()) {
      const double x = x_pixel(tick);
      put("<line x1=\"{0:.2f}\" y1=\"{1}\" x2=\"{0:.2f}\" y2=\"{2}\" stroke=\"#e4e4e4\"/>\n", x, kTop, kBase);
      put("<text x=\"{:.2f}\" y=\"{}\" text-anchor=\"middle\">{:.6g}</text>\n", x, kBase + 18, tick);
    }
    for (const double tick : y_.ticks()) {
      const double y = y_pixel(tick);
      put("<line x1=\"{1}\" y1=\"{0:.2f}\" x2=\"{2}\" y2=\"{0:.2f}\" stroke=\"#e4e4e4\"/>\n", y, kLeft, kEnd);
      put("<text x=\"{}\" y=\"{:.2f}\" text-anchor=\"end\">{:.6g}</text>\n", kLeft - 8, y + 4, tick);
    }
    put("<path d=\"M{0} {1}V{2}H{3}\" fill=\"none\" stroke=\"#333333\"/>\n", kLeft, kTop, kBase, kEnd);
    put("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n", kLeft + kPlotWidth / 2, kBase + 42, escaped(chart_.x_label));
    put("<text transform=\"translate(18 {}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n", kTop + kPlotHeight / 2,
        escaped(chart_.y_label));
  }

  // The line with a dot at each point, and its entry in the legend.
  void write_series(std::size_t index) {
    const PlotSeries& series = chart_.series[index];
    const std::string_view colour = kColours[index % kColours.size()], dash = kDashes[index / kColours.size() % kDashes.size()];
    std::string path;
    bool is_down = false;  // the pen
    for (const PlotPoint& point : series.points) {
      const bool shown = is_point_shown(point);
      if (shown) path += fmt::format("{}{:.2f} {:.2f}", is_down ? 'L' : 'M', x_pixel(point.x), y_pixel(point.y));
      is_down = shown;
    }
    if (!path.empty()) put("<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\" stroke-dasharray=\"{}\"/>\n", path, colour, dash);
    if (series.points.size() <= kDotsMax) {
      for (const PlotPoint& point : series.points) {
        if (is_point_shown(point))
          put("<circle cx=\"{:.2f}\" cy=\"{:.2f}\" r=\"3\" fill=\"{}\"/>\n", x_pixel(point.x), y_pixel(point.y), colour);
      }
    }
    const double x = kLeft + kPlotWidth + 16, y = kTop + 10 + 20 * static_cast<double>(index);
    put("<path d=\"M{} {}h22\" stroke=\"{}\" stroke-width=\"2\" stroke-dasharray=\"{}\"/>\n", x, y, colour, dash);
    put("<text x=\"{}\" y=\"{}\">{}</text>\n", x + 28, y + 4, escaped(series.name));
  }

  static constexpr std::size_t kDotsMax = 50;  // a line of more points is one without dots

  std::string& out_;
  const LineChart& chart_;
  const double top_;
  const Axis x_, y_;
};

}  // namespace

std::vector<double> axis_ticks(double min, double max, AxisScale scale) {
  if (scale == AxisScale::logarithmic) return logarithmic_ticks(min, max);
  if (max <= min) max = min + (min == 0 ? 1 : std::abs(min));
  const double step = linear_step(max - min);
  std::vector<double> ticks;
  const double first = std::floor(min / step + 1e-9), last = std::ceil(max / step - 1e-9);
  for (double i = first; i <= last; ++i) ticks.push_back(i * step);
  return ticks;
}

std::string svg_of(std::span<const LineChart> charts) {
  std::size_t longest = 8;  // characters of a name
  for (const LineChart& chart : charts) {
    for (const PlotSeries& series : chart.series) longest = std::max(longest, series.name.size());
  }
  const double width = std::ceil(kLeft + kPlotWidth + kLegendLine + kCharacterWidth * static_cast<double>(longest));
  const double height = kHeight * static_cast<double>(charts.size());
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" "
      "font-family=\"sans-serif\" font-size=\"12\" fill=\"#222222\">\n<rect width=\"{0}\" height=\"{1}\" fill=\"#ffffff\"/>\n",
      width, height);
  for (std::size_t i = 0; i < charts.size(); ++i) ChartWriter(out, charts[i], kHeight * static_cast<double>(i)).write();
  return out + "</svg>\n";
}

}  // namespace slora
