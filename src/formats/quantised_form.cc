#include "formats/quantised_form.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <span>
#include <utility>

#include "formats/json.h"
#include "tensor/dtype.h"

namespace slora {
namespace {

constexpr std::int64_t kElementsAtOnce = 1 << 20;  // 4 MiB of numbers
constexpr std::int64_t kRowsAtOnceMin = 64;
constexpr std::int64_t kTransposedRowsAtOnceMin = 256;                       // so that pieces of stored rows are at least 128 bytes
constexpr std::array<std::int64_t, 8> kAwqOrder = {0, 2, 4, 6, 1, 3, 5, 7};  // the column of a word that its k-th 4 bits hold

std::uint64_t unsigned_of(std::int64_t value) { return static_cast<std::uint64_t>(value); }

// Consecutive rows of the weight.
struct Rows {
  std::int64_t begin, end;
  [[nodiscard]] std::int64_t count() const { return end - begin; }
};

// `count` elements of a stored tensor from element `begin` on.
template <class T>
Status read_elements(std::vector<T>& out, const StoredTensor& part, std::int64_t begin, std::int64_t count) {
  out.resize(static_cast<std::size_t>(count));
  return part.read_part(unsigned_of(begin) * sizeof(T), std::as_writable_bytes(std::span(out)));
}

Status check_finite(std::span<const float> numbers, const StoredTensor& part) {
  const auto bad = std::ranges::find_if_not(numbers, [](float number) { return std::isfinite(number); });
  if (bad == numbers.end()) return {};
  return error("E_NONFINITE", "{}: tensor {}: expected finite numbers, found {}", part.file->name(), quote(part.info.name), *bad);
}

// The same as fp32.
Status read_floats(std::vector<float>& out, const StoredTensor& part, std::int64_t begin, std::int64_t count) {
  const std::size_t element = bytes_of(part.info.dtype);
  std::vector<std::byte> bytes(static_cast<std::size_t>(count) * element);
  if (Status read = part.read_part(unsigned_of(begin) * element, bytes); !read) return read;
  out.resize(static_cast<std::size_t>(count));
  convert_to_float(out.data(), bytes.data(), part.info.dtype, out.size());
  return check_finite(out, part);
}

// F8_E4M3: 4 bits of exponent, bias 7, 3 of mantissa; no infinities, and all ones is NaN.
std::array<float, 256> make_float8_values() {
  std::array<float, 256> values{};
  for (int code = 0; code < 256; ++code) {
    const int exponent = (code >> 3) & 15, mantissa = code & 7;
    float value =
        exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9) : std::ldexp(static_cast<float>(8 + mantissa), exponent - 10);
    if (exponent == 15 && mantissa == 7) value = std::nanf("");
    values[static_cast<std::size_t>(code)] = code < 128 ? value : -value;
  }
  return values;
}

class Dequantised final : public TensorForm {
 public:
  explicit Dequantised(QuantisedMatrix matrix) : matrix_(std::move(matrix)) {}

  Status read_rows(std::int64_t row_begin, std::span<std::byte> out) const override {
    const std::size_t row_bytes = static_cast<std::size_t>(matrix_.in) * bytes_of(matrix_.dtype);
    const std::int64_t row_end = row_begin + static_cast<std::int64_t>(out.size() / row_bytes);
    const std::int64_t at_once = std::max(rows_at_once(), kElementsAtOnce / matrix_.in);
    for (std::int64_t row = row_begin; row < row_end; row += at_once) {
      const Rows rows{row, std::min(row + at_once, row_end)};
      const std::span<std::byte> part =
          out.subspan(static_cast<std::size_t>(row - row_begin) * row_bytes, static_cast<std::size_t>(rows.count()) * row_bytes);
      if (Status read = read_block(rows, part); !read) return read;
    }
    return {};
  }

  std::int64_t rows_at_once() const override { return is_transposed() ? kTransposedRowsAtOnceMin : kRowsAtOnceMin; }

 private:
  Status read_block(Rows rows, std::span<std::byte> out) const {
    std::vector<float> numbers(static_cast<std::size_t>(rows.count() * matrix_.in));
    std::vector<float> scales, zeros;  // [rows, groups]
    if (Status read = read_codes(numbers, rows); !read) return read;
    if (Status read = read_scales(scales, rows); !read) return read;
    if (Status read = read_zeros(zeros, rows); !read) return read;
    const std::int64_t groups = matrix_.group_count();
    for (std::int64_t row = 0; row < rows.count(); ++row) {
      float* const number = numbers.data() + row * matrix_.in;
      const float *const scale = scales.data() + row * groups, *const zero = zeros.data() + row * groups;
      if (matrix_.groups.empty()) {
        for (std::int64_t group = 0; group < groups; ++group) {
          const std::int64_t end = std::min((group + 1) * matrix_.scale_columns, matrix_.in);
          for (std::int64_t i = group * matrix_.scale_columns; i < end; ++i) number[i] = (number[i] - zero[group]) * scale[group];
        }
      } else {
        for (std::int64_t i = 0; i < matrix_.in; ++i) {
          const std::int32_t group = matrix_.groups[static_cast<std::size_t>(i)];
          number[i] = (number[i] - zero[group]) * scale[group];
        }
      }
    }
    convert_from_float(out.data(), matrix_.dtype, numbers.data(), numbers.size());
    return {};
  }

  [[nodiscard]] std::int64_t codes_per_word() const { return 32 / matrix_.bits; }
  [[nodiscard]] float code_in(std::uint32_t word, std::int64_t index) const {
    return static_cast<float>((word >> (index * matrix_.bits)) & ((1u << matrix_.bits) - 1));
  }

  // numbers: [rows, in]
  Status read_codes(std::vector<float>& numbers, Rows rows) const {
    switch (matrix_.codes) {
      case WeightCodes::gptq:
        return read_gptq_codes(numbers, rows);
      case WeightCodes::awq:
        return read_awq_codes(numbers, rows);
      case WeightCodes::packed:
        return read_packed_codes(numbers, rows);
      default:
        return read_bytes(numbers, rows);
    }
  }

  Status read_gptq_codes(std::vector<float>& numbers, Rows rows) const {
    std::vector<std::uint32_t> words;
    for (std::int64_t first = 0; first < matrix_.in; first += codes_per_word()) {
      const std::int64_t stored_row = first / codes_per_word();
      if (Status read = read_elements(words, matrix_.code_part, stored_row * matrix_.out + rows.begin, rows.count()); !read) return read;
      for (std::int64_t row = 0; row < rows.count(); ++row) {
        float* const number = numbers.data() + row * matrix_.in + first;
        for (std::int64_t i = 0; i < codes_per_word(); ++i) number[i] = code_in(words[static_cast<std::size_t>(row)], i);
      }
    }
    return {};
  }

  // Calls take(row, code) for the codes of `rows` in one stored row of AWQ's order.
  template <class Take>
  Status read_awq_row(const StoredTensor& part, std::int64_t stored_row, Rows rows, Take take) const {
    std::vector<std::uint32_t> words;
    const std::int64_t per_word = codes_per_word(), words_per_row = matrix_.out / per_word;
    const std::int64_t first = rows.begin / per_word, count = (rows.end + per_word - 1) / per_word - first;
    if (Status read = read_elements(words, part, stored_row * words_per_row + first, count); !read) return read;
    for (std::int64_t word = 0; word < count; ++word) {
      for (std::size_t i = 0; i < kAwqOrder.size(); ++i) {
        const std::int64_t row = (first + word) * per_word + kAwqOrder[i];
        if (row >= rows.begin && row < rows.end)
          take(row - rows.begin, code_in(words[static_cast<std::size_t>(word)], static_cast<std::int64_t>(i)));
      }
    }
    return {};
  }

  Status read_awq_codes(std::vector<float>& numbers, Rows rows) const {
    for (std::int64_t column = 0; column < matrix_.in; ++column) {
      const auto take = [&](std::int64_t row, float code) { numbers[static_cast<std::size_t>(row * matrix_.in + column)] = code; };
      if (Status read = read_awq_row(matrix_.code_part, column, rows, take); !read) return read;
    }
    return {};
  }

  Status read_packed_codes(std::vector<float>& numbers, Rows rows) const {
    const std::int64_t words_per_row = (matrix_.in + codes_per_word() - 1) / codes_per_word();
    std::vector<std::uint32_t> words;
    if (Status read = read_elements(words, matrix_.code_part, rows.begin * words_per_row, rows.count() * words_per_row); !read) return read;
    for (std::int64_t row = 0; row < rows.count(); ++row) {
      const std::uint32_t* const word = words.data() + row * words_per_row;
      float* const number = numbers.data() + row * matrix_.in;
      for (std::int64_t i = 0; i < matrix_.in; ++i) number[i] = code_in(word[i / codes_per_word()], i % codes_per_word());
    }
    return {};
  }

  Status read_bytes(std::vector<float>& numbers, Rows rows) const {
    static const std::array<float, 256> kFloat8 = make_float8_values();
    std::vector<std::uint8_t> bytes;
    if (Status read = read_elements(bytes, matrix_.code_part, rows.begin * matrix_.in, rows.count() * matrix_.in); !read) return read;
    const bool is_float = matrix_.codes == WeightCodes::float8;
    for (std::size_t i = 0; i < bytes.size(); ++i)
      numbers[i] = is_float ? kFloat8[bytes[i]] : static_cast<float>(static_cast<std::int8_t>(bytes[i]));
    return {};
  }

  [[nodiscard]] bool is_transposed() const { return matrix_.codes == WeightCodes::gptq || matrix_.codes == WeightCodes::awq; }

  Status read_scales(std::vector<float>& scales, Rows rows) const {
    const std::int64_t groups = matrix_.group_count();
    std::vector<float> stored;
    if (!is_transposed()) {
      const std::int64_t first = rows.begin / matrix_.scale_rows, last = (rows.end - 1) / matrix_.scale_rows;
      if (Status read = read_floats(stored, matrix_.scale_part, first * groups, (last + 1 - first) * groups); !read) return read;
      for (std::int64_t row = rows.begin; row < rows.end; ++row) {
        const auto from = stored.begin() + (row / matrix_.scale_rows - first) * groups;
        scales.insert(scales.end(), from, from + groups);
      }
      return {};
    }
    scales.resize(static_cast<std::size_t>(rows.count() * groups));
    for (std::int64_t group = 0; group < groups; ++group) {
      if (Status read = read_floats(stored, matrix_.scale_part, group * matrix_.out + rows.begin, rows.count()); !read) return read;
      for (std::int64_t row = 0; row < rows.count(); ++row)
        scales[static_cast<std::size_t>(row * groups + group)] = stored[static_cast<std::size_t>(row)];
    }
    return {};
  }

  // zeros: [rows, groups]
  Status read_zeros(std::vector<float>& zeros, Rows rows) const {
    const bool is_offset = is_transposed() || matrix_.codes == WeightCodes::packed;  // codes are stored as unsigned numbers
    const std::int64_t groups = matrix_.group_count();
    zeros.assign(static_cast<std::size_t>(rows.count() * groups), is_offset ? static_cast<float>(1 << (matrix_.bits - 1)) : 0.0f);
    if (!matrix_.zero_part) return {};
    switch (matrix_.codes) {
      case WeightCodes::gptq:
        return read_gptq_zeros(zeros, rows);
      case WeightCodes::awq:
        for (std::int64_t group = 0; group < groups; ++group) {
          const auto take = [&](std::int64_t row, float code) { zeros[static_cast<std::size_t>(row * groups + group)] = code; };
          if (Status read = read_awq_row(*matrix_.zero_part, group, rows, take); !read) return read;
        }
        return {};
      case WeightCodes::packed:
        return read_packed_zeros(zeros, rows);
      default:
        return read_byte_zeros(zeros, rows);
    }
  }

  // The first form of GPTQ stores zeros less one. gptqmodel adds the one to whole words, so that a zero of 15 carries into the next: so
  // did the subtraction that wrote them.
  Status read_gptq_zeros(std::vector<float>& zeros, Rows rows) const {
    const std::int64_t groups = matrix_.group_count(), per_word = codes_per_word(), words_per_row = matrix_.out / per_word;
    const std::int64_t first = rows.begin / per_word, count = (rows.end + per_word - 1) / per_word - first;
    const std::uint32_t ones = !matrix_.stores_zeros_less_one ? 0 : matrix_.bits == 4 ? 0x11111111u : 0x01010101u;
    std::vector<std::uint32_t> words;
    for (std::int64_t group = 0; group < groups; ++group) {
      if (Status read = read_elements(words, *matrix_.zero_part, group * words_per_row + first, count); !read) return read;
      for (std::int64_t row = rows.begin; row < rows.end; ++row) {
        const std::uint32_t word = words[static_cast<std::size_t>(row / per_word - first)] + ones;
        zeros[static_cast<std::size_t>((row - rows.begin) * groups + group)] = code_in(word, row % per_word);
      }
    }
    return {};
  }

  Status read_packed_zeros(std::vector<float>& zeros, Rows rows) const {
    const std::int64_t groups = matrix_.group_count(), per_word = codes_per_word();
    const std::int64_t first = rows.begin / per_word, last = (rows.end - 1) / per_word;
    std::vector<std::uint32_t> words;
    if (Status read = read_elements(words, *matrix_.zero_part, first * groups, (last + 1 - first) * groups); !read) return read;
    for (std::int64_t row = rows.begin; row < rows.end; ++row) {
      for (std::int64_t group = 0; group < groups; ++group) {
        const std::uint32_t word = words[static_cast<std::size_t>((row / per_word - first) * groups + group)];
        zeros[static_cast<std::size_t>((row - rows.begin) * groups + group)] = code_in(word, row % per_word);
      }
    }
    return {};
  }

  Status read_byte_zeros(std::vector<float>& zeros, Rows rows) const {
    const std::int64_t groups = matrix_.group_count(), first = rows.begin / matrix_.scale_rows, last = (rows.end - 1) / matrix_.scale_rows;
    std::vector<std::int8_t> stored;
    if (Status read = read_elements(stored, *matrix_.zero_part, first * groups, (last + 1 - first) * groups); !read) return read;
    for (std::int64_t row = rows.begin; row < rows.end; ++row) {
      const auto from = stored.begin() + (row / matrix_.scale_rows - first) * groups;
      std::copy_n(from, groups, zeros.begin() + (row - rows.begin) * groups);
    }
    return {};
  }

  const QuantisedMatrix matrix_;
};

}  // namespace

std::shared_ptr<const TensorForm> dequantised(QuantisedMatrix matrix) { return std::make_shared<Dequantised>(std::move(matrix)); }

}  // namespace slora
