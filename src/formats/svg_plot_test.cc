#include "formats/svg_plot.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <optional>
#include <string_view>

namespace slora {
namespace {

// The tags of well-formed XML of the kind that is written here: elements with quoted attributes, text, the five entities. Empty: it is not
// well formed.
std::vector<std::string> tags_of(std::string_view xml) {
  std::vector<std::string> tags, open;
  while (!xml.empty()) {
    const std::size_t begin = std::min(xml.find('<'), xml.size());
    for (std::string_view text = xml.substr(0, begin); !text.empty();) {
      const std::size_t at = std::min(text.find('&'), text.size());
      if (open.empty() && text.find_first_not_of('\n') != std::string_view::npos) return {};
      text.remove_prefix(at);
      if (text.empty()) break;
      bool is_entity = false;
      for (const std::string_view entity : {"&amp;", "&lt;", "&gt;", "&quot;", "&apos;"}) is_entity |= text.starts_with(entity);
      if (!is_entity) return {};
      text.remove_prefix(1);
    }
    xml.remove_prefix(begin);
    if (xml.empty()) break;
    const std::size_t end = xml.find('>');
    if (end == std::string_view::npos) return {};
    std::string tag(xml.substr(1, end - 1));
    xml.remove_prefix(end + 1);
    if (tag.starts_with('/')) {
      if (open.empty() || open.back() != tag.substr(1)) return {};
      open.pop_back();
      continue;
    }
    if (std::ranges::count(tag, '"') % 2 != 0 || tag.find('<') != std::string::npos) return {};
    tags.push_back(tag);
    if (!tag.ends_with('/')) open.push_back(tag.substr(0, tag.find(' ')));
  }
  return open.empty() ? tags : std::vector<std::string>();
}

LineChart chart_of(std::vector<PlotSeries> series) {
  LineChart chart;
  chart.title = "Title";
  chart.x_label = "rate";
  chart.y_label = "seconds";
  chart.series = std::move(series);
  return chart;
}

std::size_t count_of(const std::vector<std::string>& tags, std::string_view begin) {
  return static_cast<std::size_t>(std::ranges::count_if(tags, [&](const std::string& tag) { return tag.starts_with(begin); }));
}

TEST(SvgPlot, HasALineAndADotForEachPointInItsPlace) {
  const LineChart chart = chart_of({{"one", {{0, 0}, {5, 10}, {10, 5}}}, {"two", {{0, 10}, {10, 0}}}});
  const std::string svg = svg_of(std::vector{chart, chart});
  const std::vector<std::string> tags = tags_of(svg);
  ASSERT_FALSE(tags.empty()) << svg;
  EXPECT_EQ(count_of(tags, "circle "), 10u);
  // The plot is from 78 to 570 and, downwards, from 44 to 324.
  EXPECT_NE(svg.find("d=\"M78.00 324.00L324.00 44.00L570.00 184.00\""), std::string::npos) << svg;
  EXPECT_NE(svg.find("d=\"M78.00 44.00L570.00 324.00\""), std::string::npos);
  for (const char* text : {">Title<", ">rate<", ">seconds<", ">one<", ">two<", ">0<", ">10<"}) EXPECT_NE(svg.find(text), std::string::npos);
}

TEST(SvgPlot, PlacesValuesByTheirLogarithm) {
  LineChart chart = chart_of({{"one", {{1, 0.01}, {10, 1}, {100, 100}}}});
  chart.x_scale = chart.y_scale = AxisScale::logarithmic;
  const std::string svg = svg_of(std::vector{chart});
  EXPECT_NE(svg.find("d=\"M78.00 324.00L324.00 184.00L570.00 44.00\""), std::string::npos) << svg;
}

TEST(SvgPlot, IsWellFormedWhateverTheTextsHold) {
  LineChart chart = chart_of({{"a<b & \"c\" > d", {{1, 2}}}});
  chart.title = std::string("</svg>\x01\n") + "é";
  const std::string svg = svg_of(std::vector{chart});
  EXPECT_FALSE(tags_of(svg).empty()) << svg;
  EXPECT_NE(svg.find("a&lt;b &amp; &quot;c&quot; &gt; d"), std::string::npos);
  EXPECT_NE(svg.find("&lt;/svg&gt;?\né"), std::string::npos) << svg;
}

TEST(SvgPlot, LeavesGapsWhereValuesCannotBeShown) {
  const double nan = std::nan(""), infinite = std::numeric_limits<double>::infinity();
  LineChart chart = chart_of({{"one", {{1, 1}, {2, nan}, {3, 3}, {infinite, 1}, {4, 0}, {10, 10}}}});
  chart.y_scale = AxisScale::logarithmic;
  const std::string svg = svg_of(std::vector{chart});
  EXPECT_EQ(count_of(tags_of(svg), "circle "), 3u);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_EQ(svg.find("inf"), std::string::npos);
}

TEST(SvgPlot, DrawsChartsOfNothingAndOfOnePoint) {
  for (const AxisScale scale : {AxisScale::linear, AxisScale::logarithmic}) {
    for (const LineChart& base : {chart_of({}), chart_of({{"none", {}}}), chart_of({{"one", {{3, 3}}}}), chart_of({{"zero", {{0, 0}}}})}) {
      LineChart chart = base;
      chart.x_scale = chart.y_scale = scale;
      const std::string svg = svg_of(std::vector{chart});
      EXPECT_FALSE(tags_of(svg).empty());
      EXPECT_EQ(svg.find("nan"), std::string::npos) << svg;
    }
  }
}

TEST(SvgPlot, GivesSeriesLinesOfTheirOwn) {
  std::vector<PlotSeries> series(15);
  for (PlotSeries& one : series) one.points = {{1, 1}, {2, 2}};
  const std::string svg = svg_of(std::vector{chart_of(series)});
  EXPECT_NE(svg.find("stroke-dasharray=\"7 3\""), std::string::npos);
  EXPECT_NE(svg.find("stroke-dasharray=\"2 3\""), std::string::npos);
}

TEST(AxisTicks, AreRoundNumbersThatEncloseTheRange) {
  EXPECT_EQ(axis_ticks(0, 10, AxisScale::linear), (std::vector<double>{0, 2, 4, 6, 8, 10}));
  EXPECT_EQ(axis_ticks(0, 1, AxisScale::linear).size(), 6u);
  EXPECT_EQ(axis_ticks(-3, 3, AxisScale::linear), (std::vector<double>{-3, -2, -1, 0, 1, 2, 3}));
  EXPECT_EQ(axis_ticks(1, 1000, AxisScale::logarithmic).size(), 4u);
  EXPECT_EQ(axis_ticks(3, 40, AxisScale::logarithmic).size(), 5u) << "2, 5, 10, 20, 50";
  for (double max = 1e-6; max < 1e9; max *= 3.7) {
    for (const double min : {0.0, max / 3, max / 1.01}) {
      const std::vector<double> ticks = axis_ticks(min, max, AxisScale::linear);
      EXPECT_LE(ticks.front(), min + 1e-9 * max);
      EXPECT_GE(ticks.back(), max * (1 - 1e-9));
      EXPECT_GE(ticks.size(), 2u);
      EXPECT_LE(ticks.size(), 9u);
    }
    const std::vector<double> ticks = axis_ticks(max / 50, max, AxisScale::logarithmic);
    EXPECT_LE(ticks.front(), max / 50 * (1 + 1e-9));
    EXPECT_GE(ticks.back(), max * (1 - 1e-9));
    EXPECT_LE(ticks.size(), 9u);
  }
}

}  // namespace
}  // namespace slora
