#include "text/jinja_machine.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "text/utf8.h"

namespace slora::jinja {

namespace {

constexpr std::size_t kBytesPerStep = 16;
constexpr std::size_t kBytesOfCharactersPerStep = 6;

// Per unit of the input's weight, which is about its length as text.
constexpr std::size_t kStepsPerInput = 4, kBytesPerInput = 64, kOutputPerInput = 8;

}  // namespace

Limits Limits::for_input(std::size_t input_weight, std::size_t source_bytes) {
  const std::size_t weight = std::min(input_weight, std::size_t{1} << 32);
  Limits limits;
  limits.steps_max += static_cast<std::int64_t>(weight * kStepsPerInput);
  limits.bytes_max += static_cast<std::int64_t>(weight * kBytesPerInput);
  limits.output_bytes_max += weight * kOutputPerInput + source_bytes;
  return limits;
}

Machine::~Machine() {
  for (const NamespacePtr& names : namespaces_) names->members.clear();
}

Value Machine::fail(std::string_view what) {
  if (!error_) error_ = Error{"E_CHAT_TEMPLATE", fmt::format("chat template, line {}: {}", line_, what), {}};
  return Value();
}

Value Machine::refuse(std::string message) {
  if (!error_) error_ = Error{"invalid_request_error", std::move(message), {}};
  return Value();
}

bool Machine::spend_steps(std::size_t count) {
  steps_ += static_cast<std::int64_t>(std::min(count, std::size_t{1} << 40));
  if (steps_ > limits_.steps_max) fail("the template takes too many steps");
  return !failed();
}

bool Machine::spend_traversal(std::size_t weight) { return spend_steps(1 + weight / kBytesPerStep); }

bool Machine::spend_characters(std::size_t bytes) { return spend_steps(bytes / kBytesOfCharactersPerStep); }

bool Machine::can_make_members(std::size_t count) {
  if (bytes_ + static_cast<std::int64_t>(count * sizeof(Value)) > limits_.bytes_max) fail("the template takes too much memory");
  return !failed();
}

bool Machine::spend_bytes(std::size_t count) {
  bytes_ += static_cast<std::int64_t>(std::min(count, std::size_t{1} << 40));
  if (bytes_ > limits_.bytes_max) fail("the template takes too much memory");
  return !failed();
}

bool Machine::check_key(const Value& key) {
  if (!spend_traversal(key.weight())) return false;
  if (!is_hashable(key)) fail(fmt::format("unhashable type: '{}'", key.type_name()));
  return !failed();
}

bool Machine::check_not_safe(const Value& value) {
  if (value.is_safe_text()) fail("changing text marked by the filter 'safe' is not supported");
  return !failed();
}

std::string Machine::text_of(const Value& value) {
  if (!spend_bytes(value.weight())) return {};
  if (value.if_text() == nullptr && !spend_characters(value.weight())) return {};
  return to_text(value);
}

Value Machine::make_text(std::string text) {
  if (!spend_bytes(text.size() + sizeof(std::string))) return Value();
  return Value(std::move(text));
}

Value Machine::checked(Value value) { return value.depth() > limits_.value_depth_max ? fail("values are nested too deeply") : value; }

Value Machine::make_list(std::vector<Value> members, ListKind kind) {
  if (!spend_bytes(members.size() * sizeof(Value) + sizeof(List))) return Value();
  return checked(Value(List{std::move(members), kind}));
}

Value Machine::make_range(std::vector<Value> members, const std::array<std::int64_t, 3>& bounds) {
  if (!spend_bytes(sizeof(List))) return Value();
  return Value(List{std::move(members), ListKind::range, bounds});
}

Value Machine::make_iterator(std::vector<Value> members) {
  if (!spend_bytes(members.size() * sizeof(Value) + sizeof(Iterator))) return Value();
  return checked(Value(Iterator{std::move(members)}));
}

Value Machine::make_dict(Dict members) {
  if (!spend_bytes(members.members.size() * 2 * sizeof(Value) + sizeof(Dict))) return Value();
  return checked(Value(std::move(members)));
}

Value Machine::make_callable(Callable callable) {
  constexpr std::size_t steps = 4;
  if (!spend_steps(steps) || !spend_bytes(2 * sizeof(Callable))) return Value();
  return checked(Value(std::move(callable)));
}

Value Machine::make_namespace(Namespace names) {
  constexpr std::size_t node_bytes = 128;  // of its map, with a short name
  if (!spend_bytes(node_bytes + sizeof(Namespace) + names.members.size() * node_bytes)) return Value();
  namespaces_.push_back(std::make_shared<Namespace>(std::move(names)));
  return Value(namespaces_.back());
}

std::vector<Value> Machine::iterate(const Value& value) {
  const Iterator* iterator = value.if_iterator();
  const std::optional<std::int64_t> length = iterator != nullptr ? std::ssize(iterator->members) : length_of(value);
  if (!length) {
    fail(fmt::format("'{}' object is not iterable", value.type_name()));
    return {};
  }
  constexpr std::size_t character_bytes = 112;  // a text of its own
  const std::size_t member_bytes = value.if_text() != nullptr ? character_bytes : sizeof(Value);
  if (!spend_bytes(static_cast<std::size_t>(*length) * member_bytes) ||
      !spend_traversal(static_cast<std::size_t>(*length) * sizeof(Value))) {
    return {};
  }
  return *members_of(value);
}

Arguments bind_arguments(Machine& machine, std::string_view callee, const Parameters& parameters, const Arguments& arguments) {
  if (arguments.positional.size() > parameters.size()) {
    machine.fail(fmt::format("{} takes at most {} arguments, {} were given", callee, parameters.size(), arguments.positional.size()));
    return {};
  }
  Arguments bound{arguments.positional, {}};
  bound.positional.resize(parameters.size());
  for (const auto& [name, value] : arguments.named) {
    const auto parameter = std::find(parameters.begin(), parameters.end(), name);
    if (parameter == parameters.end()) {
      machine.fail(fmt::format("{} has no argument '{}'", callee, name));
      return {};
    }
    bound.positional[static_cast<std::size_t>(parameter - parameters.begin())] = value;
  }
  return bound;
}

std::int64_t integer_or(Machine& machine, const Value& argument, std::int64_t fallback) {
  if (argument.is_undefined() || argument.is_none()) return fallback;
  const std::optional<std::int64_t> integer = argument.if_integer();
  if (!integer) machine.fail(fmt::format("expected an integer, found '{}'", argument.type_name()));
  return integer.value_or(fallback);
}

std::optional<std::string> optional_text(Machine& machine, const Value& argument) {
  if (argument.is_undefined() || argument.is_none()) return std::nullopt;
  if (argument.if_text() == nullptr) machine.fail(fmt::format("expected a string, found '{}'", argument.type_name()));
  return machine.text_of(argument);
}

std::string text_or(Machine& machine, const Value& argument, std::string_view fallback) {
  return argument.is_undefined() || argument.is_none() ? std::string(fallback) : machine.text_of(argument);
}

}  // namespace slora::jinja
