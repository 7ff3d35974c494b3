#pragma once
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/result.h"

// What the programs that tools/gpu_check runs have in common: they print a JSON object on each line, as soon as they know it.
namespace slora::testing {

inline constexpr int kExitNoDevice = 3;

inline void print_line(const nlohmann::json& object) {
  std::puts(object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  std::fflush(stdout);
}

[[noreturn]] inline void end_without_device(const Error& reason) {
  print_line({{"no_device", reason.message}});
  std::exit(kExitNoDevice);
}

// Is `name` one of `names`, which have commas between them? Everything is, of no names.
inline bool is_among(const std::string& names, std::string_view name) {
  return names.empty() || ("," + names + ",").find("," + std::string(name) + ",") != std::string::npos;
}

// --name VALUE, in any order. Ends the program for anything else.
class ProgramOptions {
 public:
  ProgramOptions(int argc, char** argv, std::map<std::string, std::string> defaults) : values_(std::move(defaults)) {
    for (int i = 1; i < argc; i += 2) {
      const auto option = values_.find(std::string_view(argv[i]).starts_with("--") ? argv[i] + 2 : "");
      if (option == values_.end() || i + 1 == argc) refuse(argv[i]);
      option->second = argv[i + 1];
    }
  }
  [[nodiscard]] const std::string& text(const std::string& name) const { return values_.at(name); }
  [[nodiscard]] std::int64_t number(const std::string& name) const {
    const std::string& text = values_.at(name);
    std::int64_t number = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (failed != std::errc() || end != text.data() + text.size()) refuse("--" + name + " " + text);
    return number;
  }

 private:
  [[noreturn]] void refuse(const std::string& argument) const {
    std::fprintf(stderr, "unexpected argument %s; expected a value for each of", argument.c_str());
    for (const auto& [name, value] : values_) std::fprintf(stderr, " --%s (%s)", name.c_str(), value.c_str());
    std::fputs("\n", stderr);
    std::exit(EXIT_FAILURE);
  }

  std::map<std::string, std::string> values_;
};

}  // namespace slora::testing
