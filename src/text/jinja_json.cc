#include "text/jinja_json.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/result.h"
#include "text/python_text.h"
#include "text/utf8.h"

namespace slora::jinja {
namespace {

class Writer {
 public:
  Writer(Machine& machine, const JsonStyle& style) : machine_(machine), style_(style) {}

  void write(const Value& value) {
    if (machine_.failed()) return;
    if (value.is_none()) {
      out_ += "null";
    } else if (const bool* flag = value.if_bool()) {
      out_ += *flag ? "true" : "false";
    } else if (const double* number = value.if_double()) {
      out_ += number_text(*number);
    } else if (const std::optional<std::int64_t> integer = value.if_integer()) {
      out_ += std::to_string(*integer);
    } else if (const std::string* text = value.if_text()) {
      write_text(*text);
    } else if (const List* list = value.if_list(); list != nullptr && list->kind <= ListKind::tuple) {
      write_list(*list);
    } else if (const Dict* dict = value.if_dict()) {
      write_dict(*dict);
    } else {
      machine_.fail(fmt::format("a value of type '{}' can't be written as JSON", value.type_name()));
    }
  }

  std::string take() { return std::move(out_); }

 private:
  static std::string number_text(double number) {
    if (std::isnan(number)) return "NaN";
    if (std::isinf(number)) return number > 0 ? "Infinity" : "-Infinity";
    return repr_of(number);
  }

  void write_text(std::string_view text) {
    out_ += '"';
    while (!text.empty()) {
      const CodePoint next = first_code_point(text);
      constexpr std::string_view kSpecial = "\"\\\n\r\t\f\b";
      constexpr std::string_view kEscapes = "\"\\nrtfb";
      const std::size_t special = next.value < 0x80 ? kSpecial.find(static_cast<char>(next.value)) : std::string_view::npos;
      if (special != std::string_view::npos) {
        out_ += '\\';
        out_ += kEscapes[special];
      } else if (next.value < 0x20 || (style_.ensure_ascii && next.value > 0x7E)) {
        write_escape(next.value);
      } else {
        out_ += text.substr(0, next.bytes);
      }
      text.remove_prefix(next.bytes);
    }
    out_ += '"';
  }

  void write_escape(char32_t c) {
    auto value = static_cast<std::uint32_t>(c);
    if (value >= 0x10000) {
      value -= 0x10000;
      out_ += fmt::format("\\u{:04x}", 0xD800 + (value >> 10));
      value = 0xDC00 + (value & 0x3FF);
    }
    out_ += fmt::format("\\u{:04x}", value);
  }

  void write_list(const List& list) {
    open('[');
    for (const Value& member : list.members) {
      next_item();
      write(member);
    }
    close(']', list.members.empty());
  }

  void write_dict(const Dict& dict) {
    std::vector<std::pair<Value, Value>> sorted;
    if (style_.sort_keys) {
      sorted = dict.members;
      sort_by_key(sorted);
    }
    const std::vector<std::pair<Value, Value>>& members = style_.sort_keys ? sorted : dict.members;
    open('{');
    for (const auto& [key, value] : members) {
      next_item();
      write_text(key_text(key));
      out_ += style_.key_separator;
      write(value);
    }
    close('}', members.empty());
  }

  void sort_by_key(std::vector<std::pair<Value, Value>>& members) {
    for (const auto& member : members) {
      if (compare(members.front().first, member.first)) continue;
      machine_.fail("keys of different types can't be ordered");
      return;
    }
    std::stable_sort(members.begin(), members.end(),
                     [](const auto& a, const auto& b) { return compare(a.first, b.first).value_or(0) < 0; });
  }

  std::string key_text(const Value& key) {
    if (const std::string* text = key.if_text()) return *text;
    if (key.is_none()) return "null";
    if (const bool* flag = key.if_bool()) return *flag ? "true" : "false";
    if (!key.is_number()) machine_.fail(fmt::format("a key of type '{}' can't be written as JSON", key.type_name()));
    return to_text(key);
  }

  void open(char bracket) {
    out_ += bracket;
    ++level_;
    is_first_ = true;
  }
  void next_item() {
    if (!std::exchange(is_first_, false)) out_ += style_.item_separator;
    break_line();
  }
  void close(char bracket, bool is_empty) {
    --level_;
    if (!is_empty) break_line();
    out_ += bracket;
    is_first_ = false;
  }
  void break_line() {
    if (!style_.indent) return;
    if (!machine_.spend_bytes(style_.indent->size() * level_)) return;
    out_ += '\n';
    for (std::size_t i = 0; i < level_; ++i) out_ += *style_.indent;
  }

  Machine& machine_;
  const JsonStyle& style_;
  std::string out_;
  std::size_t level_ = 0;
  bool is_first_ = true;
};

}  // namespace

std::string to_json(Machine& machine, const Value& value, const JsonStyle& style) {
  if (!machine.spend_bytes(2 * value.weight()) || !machine.spend_characters(2 * value.weight())) return {};
  Writer writer(machine, style);
  writer.write(value);
  return writer.take();
}

}  // namespace slora::jinja
