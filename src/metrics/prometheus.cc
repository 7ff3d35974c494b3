#include "metrics/prometheus.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace slora {
namespace {

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string_view type_of(MetricKind kind) {
  switch (kind) {
    case MetricKind::counter:
      return "counter";
    case MetricKind::gauge:
      return "gauge";
    case MetricKind::histogram:
      return "histogram";
  }
  return "untyped";
}

enum class Escape { help, label };

void append_escaped(std::string& out, std::string_view text, Escape where) {
  for (const char c : text) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '"' && where == Escape::label) {
      out += "\\\"";
    } else {
      out += c;
    }
  }
}

// The shortest text that reads back as the same number.
std::string number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  return fmt::format("{}", value);
}

}  // namespace

bool is_metric_name(std::string_view name) {
  return !name.empty() && !is_digit(name.front()) &&
         std::all_of(name.begin(), name.end(), [](char c) { return is_letter(c) || is_digit(c) || c == ':'; });
}

bool is_label_name(std::string_view name) {
  return !name.empty() && !is_digit(name.front()) && !name.starts_with("__") && name != "le" &&
         std::all_of(name.begin(), name.end(), [](char c) { return is_letter(c) || is_digit(c); });
}

void PrometheusWriter::family(std::string_view name, std::string_view help, MetricKind kind) {
  check(is_metric_name(name), "expected a valid metric name");
  name_ = name;
  kind_ = kind;
  text_ += fmt::format("# HELP {} ", name);
  append_escaped(text_, help, Escape::help);
  text_ += fmt::format("\n# TYPE {} {}\n", name, type_of(kind));
}

void PrometheusWriter::sample(const MetricLabels& labels, double value) {
  check(!name_.empty() && kind_ != MetricKind::histogram, "expected a family of counters or gauges");
  line("", labels, "", number(value));
}

void PrometheusWriter::sample(const MetricLabels& labels, std::uint64_t value) {
  check(!name_.empty() && kind_ != MetricKind::histogram, "expected a family of counters or gauges");
  line("", labels, "", fmt::format("{}", value));
}

void PrometheusWriter::histogram(const MetricLabels& labels, std::span<const double> upper_bounds, std::span<const std::uint64_t> counts,
                                 double sum) {
  check(!name_.empty() && kind_ == MetricKind::histogram, "expected a family of histograms");
  check(counts.size() == upper_bounds.size() + 1, "expected one count per range");
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    total += counts[i];
    line("_bucket", labels, i < upper_bounds.size() ? number(upper_bounds[i]) : "+Inf", fmt::format("{}", total));
  }
  line("_sum", labels, "", number(sum));
  line("_count", labels, "", fmt::format("{}", total));
}

void PrometheusWriter::line(std::string_view suffix, const MetricLabels& labels, std::string_view upper_bound, std::string_view value) {
  text_ += name_;
  text_ += suffix;
  char separator = '{';
  const auto label = [&](std::string_view name, std::string_view content) {
    text_ += separator;
    text_ += name;
    text_ += "=\"";
    append_escaped(text_, content, Escape::label);
    text_ += '"';
    separator = ',';
  };
  for (const auto& [name, content] : labels) {
    check(is_label_name(name), "expected a valid label name");
    label(name, content);
  }
  if (!upper_bound.empty()) label("le", upper_bound);
  if (separator == ',') text_ += '}';
  text_ += ' ';
  text_ += value;
  text_ += '\n';
}

}  // namespace slora
