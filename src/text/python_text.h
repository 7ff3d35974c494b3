#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace slora {

// Python's string functions, as far as templates use them. Text is valid UTF-8, lengths and indices are in code points.

[[nodiscard]] bool is_python_space(char32_t code_point);  // str.isspace: White_Space and the four separators of ASCII
// Strips white space unless `characters` are given.
[[nodiscard]] std::string_view strip_left(std::string_view text, std::optional<std::string_view> characters = std::nullopt);
[[nodiscard]] std::string_view strip_right(std::string_view text, std::optional<std::string_view> characters = std::nullopt);

[[nodiscard]] std::int64_t count_code_points(std::string_view text);
// Byte offsets of all code points and of the end: [code points + 1].
[[nodiscard]] std::vector<std::size_t> code_point_offsets(std::string_view text);

// Byte offset of the first occurrence, npos when there is none. Takes linear time for every input.
[[nodiscard]] std::size_t find_first(std::string_view text, std::string_view wanted);

// str.split and str.rsplit. Without a `separator` split_left() splits at runs of white space; `splits_max` < 0: no limit. Requires: the
// separator is not empty.
[[nodiscard]] std::vector<std::string_view> split_left(std::string_view text, std::optional<std::string_view> separator,
                                                       std::int64_t splits_max);
[[nodiscard]] std::vector<std::string_view> split_right(std::string_view text, std::string_view separator, std::int64_t splits_max);
enum class LineEnds { drop, keep };
[[nodiscard]] std::vector<std::string_view> split_lines(std::string_view text, LineEnds ends = LineEnds::drop);

// str.replace; `count_max` < 0: all.
[[nodiscard]] std::string replace_text(std::string_view text, std::string_view from, std::string_view to, std::int64_t count_max);

[[nodiscard]] std::string to_upper_case(std::string_view text);
[[nodiscard]] std::string to_capitalized(std::string_view text);
// str.title: a letter after a letter becomes lower case, others become title case.
[[nodiscard]] std::string to_title_case(std::string_view text);

// repr() of a string and of a float.
[[nodiscard]] std::string repr_of(std::string_view text);
[[nodiscard]] std::string repr_of(double value);

}  // namespace slora
