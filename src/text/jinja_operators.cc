#include "text/jinja_operators.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/checked.h"
#include "text/jinja_tests.h"
#include "text/python_text.h"

namespace slora::jinja {
namespace {

std::string_view symbol_of(BinaryOperator kind) {
  switch (kind) {
    case BinaryOperator::add:
      return "+";
    case BinaryOperator::subtract:
      return "-";
    case BinaryOperator::multiply:
      return "*";
    case BinaryOperator::divide:
      return "/";
    case BinaryOperator::floor_divide:
      return "//";
    case BinaryOperator::modulo:
      return "%";
    default:
      return "~";
  }
}

std::string name_of_operand(const Value& value) {
  const Undefined* undefined = value.if_undefined();
  if (undefined != nullptr && undefined->name != nullptr) return *undefined->name + " (undefined)";
  return std::string(value.type_name());
}

Value fail_operands(Machine& machine, BinaryOperator kind, const Value& left, const Value& right) {
  return machine.fail(
      fmt::format("unsupported operands for {}: {} and {}", symbol_of(kind), name_of_operand(left), name_of_operand(right)));
}

// Division rounds down, and a remainder has the divisor's sign.
std::int64_t floor_quotient(std::int64_t a, std::int64_t b) { return a / b - ((a % b != 0 && (a % b < 0) != (b < 0)) ? 1 : 0); }

Value calculate_integers(Machine& machine, BinaryOperator kind, std::int64_t a, std::int64_t b) {
  std::optional<std::int64_t> result;
  switch (kind) {
    case BinaryOperator::add:
      result = checked_add(a, b);
      break;
    case BinaryOperator::subtract:
      if (std::int64_t difference = 0; !__builtin_sub_overflow(a, b, &difference)) result = difference;
      break;
    case BinaryOperator::multiply:
      result = checked_mul(a, b);
      break;
    default:
      if (b == 0) return machine.fail("division by zero");
      if (kind == BinaryOperator::divide) return Value(static_cast<double>(a) / static_cast<double>(b));
      if (b == -1) {
        if (a != INT64_MIN) result = kind == BinaryOperator::modulo ? 0 : -a;
      } else {
        result = kind == BinaryOperator::modulo ? a - floor_quotient(a, b) * b : floor_quotient(a, b);
      }
      break;
  }
  return result ? Value(*result) : machine.fail("an integer is too large");
}

Value calculate_numbers(Machine& machine, BinaryOperator kind, double a, double b) {
  switch (kind) {
    case BinaryOperator::add:
      return Value(a + b);
    case BinaryOperator::subtract:
      return Value(a - b);
    case BinaryOperator::multiply:
      return Value(a * b);
    default:
      break;
  }
  if (b == 0) return machine.fail("division by zero");
  if (kind == BinaryOperator::divide) return Value(a / b);
  if (kind == BinaryOperator::floor_divide) return Value(std::floor(a / b));
  const double remainder = std::fmod(a, b);
  if (remainder == 0) return Value(std::copysign(0.0, b));
  return Value((remainder < 0) != (b < 0) ? remainder + b : remainder);
}

// The types that "+" concatenates and "*" repeats.
bool is_concatenable(const Value& value) {
  return value.if_text() != nullptr || (value.if_list() != nullptr && value.if_list()->kind <= ListKind::tuple);
}

// A text, list or tuple `count` times.
Value repeat(Machine& machine, const Value& value, std::int64_t count) {
  if (!machine.check_not_safe(value)) return Value();
  const auto times = static_cast<std::size_t>(std::max<std::int64_t>(count, 0));
  const std::optional<std::size_t> weight = checked_mul(times, value.weight());
  if (!weight || !machine.spend_bytes(std::min(*weight, std::size_t{1} << 40))) return machine.fail("the template takes too much memory");
  if (const std::string* text = value.if_text()) {
    std::string out;
    out.reserve(times * text->size());
    for (std::size_t i = 0; i < times; ++i) out += *text;
    return Value(std::move(out));
  }
  const std::size_t member_count = times * value.if_list()->members.size();
  if (!machine.can_make_members(member_count)) return Value();
  std::vector<Value> members;
  members.reserve(member_count);
  for (std::size_t i = 0; i < times; ++i) members.insert(members.end(), value.if_list()->members.begin(), value.if_list()->members.end());
  return machine.make_list(std::move(members), value.if_list()->kind);
}

std::string escape_html(std::string_view text) {
  constexpr std::array<std::pair<char, std::string_view>, 5> kEscapes = {
      {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'\'', "&#39;"}, {'"', "&#34;"}}};
  std::string out;
  for (const char c : text) {
    const auto* escape = std::find_if(kEscapes.begin(), kEscapes.end(), [c](const auto& entry) { return entry.first == c; });
    out += escape == kEscapes.end() ? std::string_view(&c, 1) : escape->second;
  }
  return out;
}

Value add_texts(Machine& machine, const Value& left, const Value& right) {
  const bool is_safe = left.is_safe_text() || right.is_safe_text();
  std::string text;
  for (const Value* part : {&left, &right}) {
    const std::string shown = machine.text_of(*part);
    text += is_safe && !part->is_safe_text() ? escape_html(shown) : shown;
  }
  if (!is_safe) return machine.make_text(std::move(text));
  return machine.spend_bytes(text.size() + sizeof(std::string)) ? Value::safe_text(std::move(text)) : Value();
}

// The operator ~, whose result is never marked as safe.
Value concatenate(Machine& machine, const Value& left, const Value& right) {
  std::string text = machine.text_of(left);
  const std::string rest = machine.text_of(right);
  text.reserve(text.size() + rest.size());
  text += rest;
  return machine.make_text(std::move(text));
}

Value add(Machine& machine, const Value& left, const Value& right) {
  if (left.if_text() != nullptr && right.if_text() != nullptr) return add_texts(machine, left, right);
  const List* first = left.if_list();
  const List* second = right.if_list();
  if (first != nullptr && second != nullptr && first->kind == second->kind && is_concatenable(left)) {
    const std::size_t count = first->members.size() + second->members.size();
    if (!machine.can_make_members(count) || !machine.spend_traversal(count * sizeof(Value))) return Value();
    std::vector<Value> members;
    members.reserve(count);
    members.insert(members.end(), first->members.begin(), first->members.end());
    members.insert(members.end(), second->members.begin(), second->members.end());
    return machine.make_list(std::move(members), first->kind);
  }
  return fail_operands(machine, BinaryOperator::add, left, right);
}

}  // namespace

Value calculate(Machine& machine, BinaryOperator kind, const Value& left, const Value& right) {
  if (kind == BinaryOperator::concatenate) return concatenate(machine, left, right);
  if (left.if_integer() && right.if_integer()) return calculate_integers(machine, kind, *left.if_integer(), *right.if_integer());
  if (left.is_number() && right.is_number()) return calculate_numbers(machine, kind, *left.if_number(), *right.if_number());
  if (kind == BinaryOperator::add) return add(machine, left, right);
  if (kind == BinaryOperator::multiply) {
    if (is_concatenable(left) && right.if_integer()) return repeat(machine, left, *right.if_integer());
    if (is_concatenable(right) && left.if_integer()) return repeat(machine, right, *left.if_integer());
  }
  if (kind == BinaryOperator::modulo && left.if_text() != nullptr) return machine.fail("formatting a string with % is not supported");
  return fail_operands(machine, kind, left, right);
}

Value negate(Machine& machine, const Value& value) {
  if (const double* number = value.if_double()) return Value(-*number);
  if (!value.if_integer()) return machine.fail(fmt::format("a sign needs a number, found {}", name_of_operand(value)));
  return calculate_integers(machine, BinaryOperator::subtract, 0, *value.if_integer());
}

bool holds(Machine& machine, Comparison kind, const Value& left, const Value& right) {
  if (kind == Comparison::in) return contains(machine, right, left);
  if (kind == Comparison::not_in) return !contains(machine, right, left);
  if (!machine.spend_traversal(std::min(left.weight(), right.weight()))) return false;
  if (kind == Comparison::equal) return equals(left, right);
  if (kind == Comparison::not_equal) return !equals(left, right);
  const std::optional<int> order = compare(left, right);
  if (!order) {
    machine.fail(fmt::format("{} and {} can't be ordered", name_of_operand(left), name_of_operand(right)));
    return false;
  }
  switch (kind) {
    case Comparison::less:
      return *order < 0;
    case Comparison::less_equal:
      return *order <= 0;
    case Comparison::greater:
      return *order > 0;
    default:
      return *order >= 0;
  }
}

Value slice(Machine& machine, const Value& object, const Value& start, const Value& stop, const Value& step) {
  if (!machine.check_not_safe(object)) return Value();
  const std::optional<std::int64_t> length = length_of(object);
  if (object.is_undefined()) return machine.fail(fmt::format("{} can't be sliced", name_of_operand(object)));
  const bool is_view = object.if_list() != nullptr && object.if_list()->kind > ListKind::tuple;
  if (!length || object.if_dict() != nullptr || is_view) return machine.fail(fmt::format("{} can't be sliced", name_of_operand(object)));
  const std::int64_t stride = integer_or(machine, step, 1);
  if (stride == 0) return machine.fail("a slice's step can't be 0");
  // Python's bounds: negative ones count from the end, and all are clamped to the range that the direction can visit.
  const std::int64_t lowest = stride > 0 ? 0 : -1;
  const std::int64_t highest = stride > 0 ? *length : *length - 1;
  const auto bound = [&](const Value& value, std::int64_t fallback) {
    if (value.is_undefined() || value.is_none()) return fallback;
    const std::int64_t index = std::clamp(integer_or(machine, value, 0), -*length - 1, *length);
    return std::clamp(index < 0 ? index + *length : index, lowest, highest);
  };
  const std::int64_t first = bound(start, stride > 0 ? lowest : highest);
  const std::int64_t last = bound(stop, stride > 0 ? highest : lowest);
  const std::int64_t hop = std::clamp(stride, -*length - 1, *length + 1);
  const std::int64_t way = hop > 0 ? last - first : first - last;
  const std::size_t count = way > 0 ? static_cast<std::size_t>((way - 1) / std::abs(hop) + 1) : 0;
  const std::size_t offsets_bytes = object.if_text() != nullptr ? static_cast<std::size_t>(*length) * 2 * sizeof(std::size_t) : 0;
  if (!machine.spend_bytes(count * sizeof(std::size_t) + offsets_bytes) || !machine.can_make_members(count)) return Value();
  std::vector<std::size_t> indices;
  indices.reserve(count);
  for (std::int64_t i = first; hop > 0 ? i < last : i > last; i += hop) indices.push_back(static_cast<std::size_t>(i));
  if (!machine.spend_characters(count)) return Value();

  if (const std::string* text = object.if_text()) {
    const std::vector<std::size_t> offsets = code_point_offsets(*text);
    std::string out;
    for (const std::size_t i : indices) out += text->substr(offsets[i], offsets[i + 1] - offsets[i]);
    return machine.make_text(std::move(out));
  }
  std::vector<Value> members;
  for (const std::size_t i : indices) members.push_back(object.if_list()->members[i]);
  return machine.make_list(std::move(members), object.if_list()->kind);
}

}  // namespace slora::jinja
