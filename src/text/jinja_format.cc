#include "text/jinja_format.h"

#include <algorithm>
#include <cmath>

#include "text/jinja_filters.h"
#include "text/python_format.h"
#include "text/python_text.h"
#include "text/utf8.h"

namespace slora::jinja {
namespace {

constexpr int kNestingMax = 2;  // of fields within the specification of a field, as in Python

bool check_style(Machine& machine, const FormatStyle& style) {
  if (style.width > kFormatWidthMax || style.precision > kFormatPrecisionMax) machine.fail("the width of a format is too large");
  return !machine.failed() && machine.spend_bytes(static_cast<std::size_t>(std::max<std::int64_t>(style.width, 0)) * style.fill.size());
}

bool is_float_type(char type) { return std::string_view("eEfFgG%").find(type) != std::string_view::npos; }

// ---- format % argument

class PercentFormatter {
 public:
  PercentFormatter(Machine& machine, std::string_view format, TextKind kind, const Value& argument)
      : machine_(machine), rest_(format), kind_(kind), argument_(argument) {
    const List* list = argument.if_list();
    is_tuple_ = list != nullptr && list->kind == ListKind::tuple;
    if (is_tuple_) positional_ = list->members;
    if (!is_tuple_) positional_ = {argument};
  }

  Value run() {
    std::string out;
    for (std::size_t at = rest_.find('%'); at != std::string_view::npos && !machine_.failed(); at = rest_.find('%')) {
      out += rest_.substr(0, at);
      rest_.remove_prefix(at + 1);
      const std::string field = read_field();
      if (machine_.spend_bytes(field.size())) out += field;
    }
    const bool may_ignore = !is_tuple_ && (argument_.if_dict() != nullptr || argument_.if_list() != nullptr || argument_.is_undefined());
    if (next_ < positional_.size() && !may_ignore) return machine_.fail("not all arguments were used by the format");
    return machine_.make_text(out.append(rest_), kind_);
  }

 private:
  char take() {
    if (rest_.empty()) {
      machine_.fail("the format ends within a field");
      return '\0';
    }
    const char c = rest_.front();
    rest_.remove_prefix(1);
    return c;
  }

  Value next_argument() {
    if (next_ >= positional_.size()) return machine_.fail("the format needs more arguments");
    return positional_[next_++];
  }

  Value named_argument() {
    const std::size_t close = rest_.find(')');
    if (close == std::string_view::npos || argument_.if_dict() == nullptr) return machine_.fail("the format needs a mapping");
    const Value* value = argument_.if_dict()->find(rest_.substr(0, close));
    if (value == nullptr) return machine_.fail(fmt::format("the format's mapping has no '{}'", rest_.substr(0, close)));
    next_ = positional_.size();
    rest_.remove_prefix(close + 1);
    return *value;
  }

  // A width or precision: digits, or an argument.
  std::int64_t take_size() {
    if (!rest_.starts_with('*')) return take_digits(rest_);
    rest_.remove_prefix(1);
    const Value size = next_argument();
    if (!size.if_integer()) machine_.fail("'*' in a format needs an integer");
    return size.if_integer().value_or(0);
  }

  std::string read_field() {
    std::optional<Value> value;
    if (rest_.starts_with('(')) {
      rest_.remove_prefix(1);
      value = named_argument();
    }
    FormatStyle style;
    for (; !rest_.empty() && std::string_view("#0- +").find(rest_.front()) != std::string_view::npos; rest_.remove_prefix(1)) {
      if (rest_.front() == '#') style.is_alternate = true;
      if (rest_.front() == '0') style.pads_zeros = true;
      if (rest_.front() == '-') style.align = '<';
      if (rest_.front() == '+' || (rest_.front() == ' ' && style.sign == '-')) style.sign = rest_.front();
    }
    style.width = take_size();
    if (style.width < 0) {
      if (style.width < -1) style.align = '<';
      style.width = style.width < -1 ? -std::max(style.width, -kFormatWidthMax) : 0;
    }
    if (rest_.starts_with('.')) {
      rest_.remove_prefix(1);
      style.precision = std::max<std::int64_t>(take_size(), 0);
    }
    if (!rest_.empty() && std::string_view("hlL").find(rest_.front()) != std::string_view::npos) rest_.remove_prefix(1);
    style.type = take();
    if (!check_style(machine_, style)) return {};
    if (style.type == '%') return "%";
    const Value argument = value ? *value : next_argument();
    return machine_.failed() ? std::string() : format_argument(style, argument);
  }

  std::string format_argument(FormatStyle style, const Value& argument) {
    if (style.align == '\0') style.align = style.pads_zeros ? '\0' : '>';
    switch (style.type) {
      case 's':
        return format_text(without_zeros(style), escaped(machine_.text_of(argument), kind_of(argument)));
      case 'r':
        return machine_.spend_bytes(argument.weight()) ? format_text(without_zeros(style), escaped(to_repr(argument), TextKind::plain))
                                                       : std::string();
      case 'c':
        return format_character(without_zeros(style), argument);
      case 'd':
      case 'i':
      case 'u':
        if (const double* number = argument.if_double()) return format_whole_part(style, *number);
        [[fallthrough]];
      case 'x':
      case 'X':
      case 'o':
        if (!argument.if_integer()) return fail_type(style, argument);
        return format_integer(std::string_view("diu").find(style.type) != std::string_view::npos ? as_decimal(style) : style,
                              *argument.if_integer());
      default:
        if (style.type == '%' || !is_float_type(style.type)) {
          machine_.fail(fmt::format("the format '%{}' is not supported", style.type));
          return {};
        }
        if (!argument.if_number()) return fail_type(style, argument);
        return format_float(style, *argument.if_number());
    }
  }

  [[nodiscard]] std::string escaped(std::string text, TextKind kind) const {
    return kind == kind_ || kind_ == TextKind::plain ? text : escape_html(text);
  }

  static FormatStyle without_zeros(FormatStyle style) {
    if (style.align == '\0') style.align = '>';
    return style;
  }
  static FormatStyle as_decimal(FormatStyle style) {
    style.type = 'd';
    return style;
  }

  // The whole part of a float, which may be larger than our integers.
  std::string format_whole_part(FormatStyle style, double number) {
    if (!std::isfinite(number)) machine_.fail("an infinite number has no whole part");
    style.type = 'f';
    style.precision = 0;
    return machine_.failed() ? std::string() : format_float(style, std::trunc(number) + 0.0);
  }

  std::string format_character(const FormatStyle& style, const Value& argument) {
    if (const std::optional<std::int64_t> code = argument.if_integer(); code && *code >= 0 && *code < 0x110000) {
      std::string text;
      append_utf8(text, static_cast<char32_t>(*code));
      return format_text(style, text);
    }
    if (argument.if_text() == nullptr || count_code_points(*argument.if_text()) != 1) return fail_type(style, argument);
    return format_text(style, *argument.if_text());
  }

  std::string fail_type(const FormatStyle& style, const Value& argument) {
    machine_.fail(fmt::format("the format '%{}' doesn't take a value of type '{}'", style.type, argument.type_name()));
    return {};
  }

  Machine& machine_;
  std::string_view rest_;
  const TextKind kind_;
  const Value& argument_;
  bool is_tuple_ = false;
  std::vector<Value> positional_;
  std::size_t next_ = 0;
};

// ---- format.format(arguments)

class BraceFormatter {
 public:
  BraceFormatter(Machine& machine, TextKind kind, const Arguments& arguments) : machine_(machine), kind_(kind), arguments_(arguments) {}

  std::string run(std::string_view format, int nesting) {
    std::string out;
    while (!format.empty() && !machine_.failed()) {
      const std::size_t at = format.find_first_of("{}");
      out += format.substr(0, at);
      if (at == std::string_view::npos) break;
      const char brace = format[at];
      format.remove_prefix(at + 1);
      if (format.starts_with(brace)) {
        out += brace;
        format.remove_prefix(1);
      } else if (brace == '}') {
        machine_.fail("a format has a single '}'");
      } else {
        const std::string field = format_field(format, nesting);
        if (machine_.spend_bytes(field.size())) out += field;
      }
    }
    return out;
  }

 private:
  // {name!conversion:specification}, taken from `format` behind its first brace.
  std::string format_field(std::string_view& format, int nesting) {
    std::size_t end = 0;
    for (int open = 1; end < format.size(); ++end) {
      open += format[end] == '{' ? 1 : format[end] == '}' ? -1 : 0;
      if (open == 0) break;
    }
    if (end == format.size() || nesting >= kNestingMax) {
      machine_.fail(end == format.size() ? "a field of a format is not closed" : "the fields of a format are nested too deeply");
      return {};
    }
    std::string_view field = format.substr(0, end);
    format.remove_prefix(end + 1);
    const std::size_t name_end = std::min(field.find_first_of("!:"), field.size());
    Value value = look_up(field.substr(0, name_end));
    field.remove_prefix(name_end);
    if (field.starts_with('!')) {
      const std::string_view conversion = field.substr(1, std::min(field.find(':'), field.size()) - 1);
      if (conversion != "r" && conversion != "s") machine_.fail(fmt::format("the conversion '!{}' is not supported", conversion));
      if (!machine_.spend_bytes(value.weight())) return {};
      value = machine_.make_text(conversion == "r" ? to_repr(value) : to_text(value));
      field.remove_prefix(conversion.size() + 1);
    }
    const std::string specification = run(field.substr(std::min<std::size_t>(field.size(), 1)), nesting + 1);
    if (machine_.failed()) return {};
    std::string text = format_value(value, specification);
    return kind_ == TextKind::plain || value.is_markup() ? text : escape_html(text);
  }

  // first.attribute[member]; without a first name the next argument.
  Value look_up(std::string_view name) {
    const std::string_view first = name.substr(0, name.find_first_of(".["));
    name.remove_prefix(first.size());
    Value value = argument_of(first);
    while (!name.empty() && !machine_.failed()) {
      const bool is_attribute = name.front() == '.';
      name.remove_prefix(1);
      const std::size_t end = std::min(name.find_first_of(is_attribute ? ".[" : "]"), name.size());
      const std::string_view key = name.substr(0, end);
      if (key.empty() || (!is_attribute && end == name.size())) return machine_.fail("a field of a format is malformed");
      std::string_view digits = key;
      const std::int64_t index = take_digits(digits);
      if (is_attribute) {
        value = attribute_of(machine_, value, key);
      } else {
        value = subscript_of(machine_, value, digits.empty() ? Value(index) : Value(key));
      }
      name.remove_prefix(is_attribute ? end : end + 1);
    }
    return value;
  }

  Value argument_of(std::string_view name) {
    std::string_view digits = name;
    std::int64_t index = take_digits(digits);
    if (!digits.empty()) {
      for (const auto& [given, value] : arguments_.named) {
        if (given == name) return value;
      }
      return machine_.fail(fmt::format("the format has no argument '{}'", name));
    }
    const bool is_automatic = name.empty();
    if (is_automatic) index = next_++;
    (is_automatic ? uses_automatic_ : uses_numbers_) = true;
    if (uses_automatic_ && uses_numbers_) return machine_.fail("a format can't number some of its fields only");
    if (index >= std::ssize(arguments_.positional)) return machine_.fail("the format needs more arguments");
    return arguments_.positional[static_cast<std::size_t>(index)];
  }

  std::string format_value(const Value& value, std::string_view specification) {
    if (specification.empty()) return machine_.text_of(value);
    const std::optional<FormatStyle> style = parse_style(specification);
    if (!style || !check_style(machine_, *style)) return {};
    if (value.if_text() != nullptr && (style->type == '\0' || style->type == 's')) {
      if (style->align != '=' && style->sign == '-' && style->grouping == '\0') return format_text(*style, *value.if_text());
    } else if (value.if_integer() && style->precision < 0 && std::string_view("\0dxXob", 6).find(style->type) != std::string_view::npos) {
      return format_integer(*style, *value.if_integer());
    } else if (value.is_number() && (is_float_type(style->type) || (style->type == '\0' && style->precision < 0))) {
      return format_float(*style, *value.if_number());
    }
    machine_.fail(fmt::format("the format '{}' of a value of type '{}' is not supported", specification, value.type_name()));
    return {};
  }

  std::optional<FormatStyle> parse_style(std::string_view text) {
    const std::string_view whole = text;
    const auto skip = [&text](char c) { return text.starts_with(c) && (text.remove_prefix(1), true); };
    FormatStyle style;
    constexpr std::string_view kAligns = "<>=^";
    const std::size_t fill_bytes = first_code_point(text).bytes;
    if (text.size() > fill_bytes && kAligns.find(text[fill_bytes]) != std::string_view::npos) {
      style.fill = text.substr(0, fill_bytes);
      style.align = text[fill_bytes];
      text.remove_prefix(fill_bytes + 1);
    } else if (kAligns.find(text.front()) != std::string_view::npos) {
      style.align = text.front();
      text.remove_prefix(1);
    }
    for (const char sign : {'+', '-', ' '}) {
      if (skip(sign)) {
        style.sign = sign;
        break;
      }
    }
    style.is_alternate = skip('#');
    style.pads_zeros = skip('0');
    style.width = std::max<std::int64_t>(take_digits(text), 0);
    if (style.pads_zeros && style.align == '\0') style.fill = "0";
    for (const char grouping : {',', '_'}) {
      if (skip(grouping)) style.grouping = grouping;
    }
    if (skip('.')) style.precision = take_digits(text);
    if (text.size() == 1) style.type = text.front();
    const bool is_lacking = text.size() > 1 || (style.grouping != '\0' && style.pads_zeros);
    if (is_lacking) machine_.fail(fmt::format("the format '{}' is not supported", whole));
    return is_lacking ? std::nullopt : std::optional(style);
  }

  Machine& machine_;
  const TextKind kind_;
  const Arguments& arguments_;
  std::int64_t next_ = 0;
  bool uses_automatic_ = false;
  bool uses_numbers_ = false;
};

}  // namespace

Value format_percent(Machine& machine, std::string_view format, TextKind kind, const Value& argument) {
  return PercentFormatter(machine, format, kind, argument).run();
}

Value format_braces(Machine& machine, std::string_view format, TextKind kind, const Arguments& arguments) {
  return machine.make_text(BraceFormatter(machine, kind, arguments).run(format, 0), kind);
}

}  // namespace slora::jinja
