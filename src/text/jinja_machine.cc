#include "text/jinja_machine.h"

#include <algorithm>

#include "text/utf8.h"

namespace slora::jinja {

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
  steps_ += static_cast<std::int64_t>(count);
  if (steps_ > limits_.steps_max) fail("the template takes too many steps");
  return !failed();
}

bool Machine::spend_bytes(std::size_t count) {
  bytes_ += static_cast<std::int64_t>(count);
  if (bytes_ > limits_.bytes_max) fail("the template takes too much memory");
  return !failed();
}

std::string Machine::text_of(const Value& value) {
  if (!spend_bytes(value.weight())) return {};
  return to_text(value);
}

Value Machine::make_text(std::string text) {
  if (!spend_bytes(text.size() + sizeof(std::string))) return Value();
  return Value(std::move(text));
}

Value Machine::make_list(std::vector<Value> members) {
  if (!spend_bytes(members.size() * sizeof(Value) + sizeof(List))) return Value();
  Value list(List{std::move(members), false});
  return list.depth() > limits_.value_depth_max ? fail("lists are nested too deeply") : list;
}

Value Machine::make_tuple(std::vector<Value> members) {
  if (!spend_bytes(members.size() * sizeof(Value) + sizeof(List))) return Value();
  Value tuple(List{std::move(members), true});
  return tuple.depth() > limits_.value_depth_max ? fail("lists are nested too deeply") : tuple;
}

Value Machine::make_dict(Dict members) {
  if (!spend_bytes(members.members.size() * 2 * sizeof(Value) + sizeof(Dict))) return Value();
  Value dict(std::move(members));
  return dict.depth() > limits_.value_depth_max ? fail("dictionaries are nested too deeply") : dict;
}

Value Machine::make_namespace(Namespace names) {
  if (!spend_bytes(sizeof(Namespace) + names.members.size() * sizeof(Value))) return Value();
  namespaces_.push_back(std::make_shared<Namespace>(std::move(names)));
  return Value(namespaces_.back());
}

std::vector<Value> Machine::iterate(const Value& value) {
  const std::optional<std::int64_t> length = length_of(value);
  if (!length) {
    fail(fmt::format("'{}' object is not iterable", value.type_name()));
    return {};
  }
  if (!spend_bytes(static_cast<std::size_t>(*length) * (value.if_text() != nullptr ? 64 : sizeof(Value)))) return {};
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

std::string text_or(Machine& machine, const Value& argument, std::string_view fallback) {
  return argument.is_undefined() || argument.is_none() ? std::string(fallback) : machine.text_of(argument);
}

}  // namespace slora::jinja
