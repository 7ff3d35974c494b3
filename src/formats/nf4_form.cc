#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

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

}  // namespace

std::shared_ptr<const TensorForm> nf4_rounded(StoredTensor tensor) { return std::make_shared<Nf4Rounded>(std::move(tensor)); }

}  // namespace slora
