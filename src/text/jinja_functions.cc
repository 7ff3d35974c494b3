#include "text/jinja_functions.h"

#include <algorithm>
#include <array>
#include <ctime>

#include "text/utf8.h"

namespace slora::jinja {
namespace {

constexpr std::int64_t kRangeMax = 100'000;  // the limit of Jinja's sandbox

Value range(Machine& machine, const Arguments& arguments) {
  const std::size_t count = arguments.positional.size();
  if (count < 1 || count > 3 || !arguments.named.empty()) return machine.fail("range takes one to three arguments");
  std::array<std::int64_t, 3> bounds = {0, 0, 1};  // start, stop, step
  for (std::size_t i = 0; i < count; ++i) {
    if (!arguments[i].if_integer()) return machine.fail(fmt::format("range needs integers, found '{}'", arguments[i].type_name()));
    bounds[count == 1 ? 1 : i] = *arguments[i].if_integer();
  }
  const auto [start, stop, step] = bounds;
  if (step == 0) return machine.fail("range needs a step other than 0");
  // Unsigned differences do not overflow. A range of more members than are allowed is found by the loop.
  const std::uint64_t span = step > 0 ? (start < stop ? static_cast<std::uint64_t>(stop) - static_cast<std::uint64_t>(start) : 0)
                                      : (start > stop ? static_cast<std::uint64_t>(start) - static_cast<std::uint64_t>(stop) : 0);
  const std::uint64_t stride = step > 0 ? static_cast<std::uint64_t>(step) : 0 - static_cast<std::uint64_t>(step);
  const auto count_max = static_cast<std::size_t>(std::min<std::uint64_t>(span / stride + 1, kRangeMax));
  if (!machine.spend_traversal(count_max * sizeof(Value)) || !machine.spend_bytes(count_max * sizeof(Value))) return Value();
  std::vector<Value> members;
  members.reserve(count_max);
  for (std::int64_t i = start; step > 0 ? i < stop : i > stop;) {
    if (std::ssize(members) == kRangeMax) return machine.fail(fmt::format("a range has at most {} members", kRangeMax));
    members.emplace_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return machine.make_range(std::move(members), bounds);
}

Value make_namespace(Machine& machine, const Arguments& arguments) {
  Namespace names;
  for (const Value& source : arguments.positional) {
    if (source.if_dict() == nullptr) return machine.fail("namespace takes dictionaries and named arguments");
    for (const auto& [key, value] : source.if_dict()->members) names.members.insert_or_assign(machine.text_of(key), value);
  }
  for (const auto& [name, value] : arguments.named) names.members.insert_or_assign(name, value);
  return machine.make_namespace(std::move(names));
}

Value dict(Machine& machine, const Arguments& arguments) {
  Dict out;
  for (const Value& source : arguments.positional) {
    if (source.if_dict() == nullptr) return machine.fail("dict takes dictionaries and named arguments");
    for (const auto& [key, value] : source.if_dict()->members) out.put(key, value);
  }
  for (const auto& [name, value] : arguments.named) out.put(Value(name), value);
  return machine.make_dict(std::move(out));
}

Value raise_exception(Machine& machine, const Arguments& arguments) {
  const Arguments bound = bind_arguments(machine, "raise_exception", {"message"}, arguments);
  return machine.refuse(machine.text_of(bound[0]));
}

Value strftime_now(Machine& machine, const Arguments& arguments) {
  const Arguments bound = bind_arguments(machine, "strftime_now", {"format"}, arguments);
  const std::string format = machine.text_of(bound[0]);
  constexpr std::size_t steps = 50;
  if (!machine.spend_steps(steps)) return Value();
  if (format.size() > 256) return machine.fail("the format of a date is too long");
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  localtime_r(&now, &parts);
  std::array<char, 4096> buffer{};
  const std::size_t length = std::strftime(buffer.data(), buffer.size(), format.c_str(), &parts);
  return machine.make_text(to_valid_utf8(std::string_view(buffer.data(), length)));
}

using Function = Value (*)(Machine& machine, const Arguments& arguments);

}  // namespace

std::vector<std::pair<std::string, Value>> global_functions(Machine& machine) {
  constexpr std::array<std::pair<const char*, Function>, 5> kFunctions = {{{"range", range},
                                                                           {"namespace", make_namespace},
                                                                           {"dict", dict},
                                                                           {"raise_exception", raise_exception},
                                                                           {"strftime_now", strftime_now}}};
  std::vector<std::pair<std::string, Value>> globals;
  for (const auto& [name, function] : kFunctions) {
    globals.emplace_back(name, Value(Callable{[&machine, run = function](const Arguments& arguments) { return run(machine, arguments); }}));
  }
  return globals;
}

}  // namespace slora::jinja
