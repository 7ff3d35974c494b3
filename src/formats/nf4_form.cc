#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "formats/json.h"
#include "formats/quantised_form.h"
#include "formats/tensor_form.h"
#include "tensor/dtype.h"
#include "tensor/nf4.h"

namespace slora {
namespace {

class Nf4Rounded final : public TensorForm {
 public:
  explicit Nf4Rounded(StoredTensor tensor) : tensor_(std::move(tensor)) {}

  // Reads the blocks that the rows lie in, since a number depends on its whole block.
  Status read_rows(std::int64_t row_begin, std::span<std::byte> out) const override {
    const TensorInfo& info = tensor_.info;
    const std::uint64_t begin = static_cast<std::uint64_t>(row_begin) * row_bytes(info);
    const std::uint64_t block_bytes = kNf4BlockElements * bytes_of(info.dtype);
    const std::uint64_t first = begin / block_bytes * block_bytes;
    const std::uint64_t end = std::min((begin + out.size() + block_bytes - 1) / block_bytes * block_bytes, info.bytes);
    std::vector<std::byte> bytes(end - first);
    if (Status read = tensor_.read_part(first, bytes); !read) return read;
    std::vector<float> numbers(bytes.size() / bytes_of(info.dtype));
    convert_to_float(numbers.data(), bytes.data(), info.dtype, numbers.size());
    const bool is_finite = std::ranges::all_of(numbers, [](float value) { return std::isfinite(value); });
    if (is_finite) {  // else the reader finds it
      round_to_nf4(numbers);
      convert_from_float(bytes.data(), info.dtype, numbers.data(), numbers.size());
    }
    std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(begin - first), out.size(), out.begin());
    return {};
  }

 private:
  const StoredTensor tensor_;
};

Status check_absmax(std::span<const float> numbers, const StoredTensor& part) {
  const auto bad = std::ranges::find_if_not(numbers, [](float number) { return std::isfinite(number); });
  if (bad == numbers.end()) return {};
  return error("E_NONFINITE", "{}: tensor {}: expected finite numbers, found {}", part.file->name(), quote(part.info.name), *bad);
}

class Nf4Dequantised final : public TensorForm {
 public:
  explicit Nf4Dequantised(Nf4Matrix matrix) : matrix_(std::move(matrix)) {}

  Status read_rows(std::int64_t row_begin, std::span<std::byte> out) const override {
    const std::int64_t begin = row_begin * matrix_.row_elements;
    const std::int64_t end = begin + static_cast<std::int64_t>(out.size() / bytes_of(matrix_.dtype));
    std::vector<std::uint8_t> codes(static_cast<std::size_t>((end + 1) / 2 - begin / 2));
    if (Status read = matrix_.code_part.read_part(static_cast<std::uint64_t>(begin / 2), std::as_writable_bytes(std::span(codes))); !read)
      return read;
    const std::int64_t first_block = begin / matrix_.block_elements, last_block = (end - 1) / matrix_.block_elements;
    std::vector<float> absmax(static_cast<std::size_t>(last_block + 1 - first_block));
    if (Status read = read_absmax(absmax, first_block); !read) return read;
    std::vector<float> numbers(static_cast<std::size_t>(end - begin));
    for (std::int64_t i = begin; i < end; ++i) {
      const std::uint8_t pair = codes[static_cast<std::size_t>(i / 2 - begin / 2)];
      const std::size_t code = i % 2 == 0 ? pair >> 4 : pair & 15;
      numbers[static_cast<std::size_t>(i - begin)] =
          nf4_fractions()[code] * absmax[static_cast<std::size_t>(i / matrix_.block_elements - first_block)];
    }
    convert_from_float(out.data(), matrix_.dtype, numbers.data(), numbers.size());
    return {};
  }

 private:
  Status read_absmax(std::vector<float>& absmax, std::int64_t first_block) const {
    if (!matrix_.nested) {
      const auto begin = static_cast<std::uint64_t>(first_block) * sizeof(float);
      if (Status read = matrix_.absmax_part.read_part(begin, std::as_writable_bytes(std::span(absmax))); !read) return read;
      return check_absmax(absmax, matrix_.absmax_part);
    }
    std::vector<std::uint8_t> codes(absmax.size());
    if (Status read = matrix_.absmax_part.read_part(static_cast<std::uint64_t>(first_block), std::as_writable_bytes(std::span(codes)));
        !read)
      return read;
    for (std::size_t i = 0; i < codes.size(); ++i) {
      const std::size_t block = (static_cast<std::size_t>(first_block) + i) / static_cast<std::size_t>(kNestedBlockElements);
      absmax[i] = matrix_.nested->map[codes[i]] * matrix_.nested->absmax[block];
    }
    for (float& value : absmax) value += matrix_.nested->offset;  // apart: the product is rounded first
    return check_absmax(absmax, matrix_.absmax_part);
  }

  const Nf4Matrix matrix_;
};

}  // namespace

std::shared_ptr<const TensorForm> dequantised(Nf4Matrix matrix) { return std::make_shared<Nf4Dequantised>(std::move(matrix)); }

std::shared_ptr<const TensorForm> nf4_rounded(StoredTensor tensor) { return std::make_shared<Nf4Rounded>(std::move(tensor)); }

}  // namespace slora
