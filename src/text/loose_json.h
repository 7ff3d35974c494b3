#pragma once
#include <cstddef>
#include <string>
#include <string_view>

#include "text/answer_format.h"

namespace slora {

// Reads the inside of a JSON string as it grows. Escapes that JSON does not have stay as they are.
class JsonTextReader {
 public:
  // Appends the characters that are known.
  void push(char c, std::string& out);

 private:
  void end_escape(std::string& out);

  std::string escape_;  // the escape that has begun, with its backslash
  char32_t high_ = 0;   // the first half of a pair of surrogates
};

// Turns a dialect into standard JSON, piece by piece.
class LooseJson {
 public:
  explicit LooseJson(const JsonDialect& dialect) : dialect_(dialect) {}
  // The standard text that no later piece can change.
  [[nodiscard]] std::string push(std::string_view piece);
  // What was held back.
  [[nodiscard]] std::string finish();

 private:
  enum class End : std::uint8_t { open, final };
  [[nodiscard]] std::string run(End end);
  // Each takes what it can from held_ at `at`, and returns false where it needs more text.
  [[nodiscard]] bool take_outside(std::string& out, std::size_t& at, End end);
  [[nodiscard]] bool take_inside(std::string& out, std::size_t& at, End end);

  const JsonDialect dialect_;
  std::string held_;
  std::string close_;     // what ends the current string; empty: not in one
  bool escaped_ = false;  // in a string in quotes
  bool key_may_follow_ = false;
};

}  // namespace slora
