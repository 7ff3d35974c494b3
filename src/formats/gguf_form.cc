#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "formats/gguf.h"

namespace slora {
namespace {

class GgufForm final : public TensorForm {
 public:
  GgufForm(std::shared_ptr<const ReadOnlyFile> file, GgufTensor tensor, std::int64_t head_count)
      : file_(std::move(file)), tensor_(std::move(tensor)), head_count_(head_count) {
    const std::vector<std::int64_t>& shape = tensor_.info.shape;
    columns_ = shape.size() < 2 ? 1 : static_cast<std::uint64_t>(shape.back());
    check(head_count == 0 || (shape.size() == 2 && shape[0] % (2 * head_count) == 0), "expected heads of pairs");
  }

  std::string_view stored_as() const override { return tensor_.type->name; }

  Status read_rows(std::int64_t row_begin, std::span<std::byte> out) const override {
    const std::size_t row_bytes = columns_ * bytes_of(tensor_.info.dtype);
    if (head_count_ == 0) return read_elements(static_cast<std::uint64_t>(row_begin) * columns_, out);
    const std::int64_t pairs = tensor_.info.shape[0] / head_count_ / 2;
    for (std::size_t i = 0; i * row_bytes < out.size(); ++i) {
      const std::int64_t row = row_begin + static_cast<std::int64_t>(i);
      const std::int64_t head = row / (2 * pairs), half = row / pairs % 2, pair = row % pairs;
      const auto stored = static_cast<std::uint64_t>((head * pairs + pair) * 2 + half);
      if (Status read = read_elements(stored * columns_, out.subspan(i * row_bytes, row_bytes)); !read) return read;
    }
    return {};
  }

 private:
  // Consecutive elements from `begin` on. Blocks are read whole.
  Status read_elements(std::uint64_t begin, std::span<std::byte> out) const {
    const GgufType& type = *tensor_.type;
    if (!type.is_quantised()) return file_->read_at(out, tensor_.info.offset + begin * type.block_bytes);
    const std::uint64_t end = begin + out.size() / sizeof(float);
    const std::uint64_t first = begin / type.block_elements, last = (end + type.block_elements - 1) / type.block_elements;
    std::vector<std::byte> stored((last - first) * type.block_bytes);
    if (Status read = file_->read_at(stored, tensor_.info.offset + first * type.block_bytes); !read) return read;
    std::vector<float> values(type.block_elements);
    for (std::uint64_t block = first; block < last; ++block) {
      type.dequantise(values.data(), &stored[(block - first) * type.block_bytes]);
      const std::uint64_t block_begin = block * type.block_elements;
      const std::uint64_t from = std::max(begin, block_begin), to = std::min(end, block_begin + type.block_elements);
      std::memcpy(&out[(from - begin) * sizeof(float)], &values[from - block_begin], (to - from) * sizeof(float));
    }
    return {};
  }

  const std::shared_ptr<const ReadOnlyFile> file_;
  const GgufTensor tensor_;
  const std::int64_t head_count_;
  std::uint64_t columns_;  // of a row
};

class GgufGainForm final : public TensorForm {
 public:
  GgufGainForm(std::shared_ptr<const ReadOnlyFile> file, GgufTensor tensor) : file_(std::move(file)), tensor_(std::move(tensor)) {
    check(tensor_.info.shape.size() == 1 && tensor_.info.dtype == DType::f32 && !tensor_.type->is_quantised(), "expected a vector of F32");
  }

  std::string_view stored_as() const override { return tensor_.type->name; }

  Status read_rows(std::int64_t row_begin, std::span<std::byte> out) const override {
    const std::uint64_t begin = static_cast<std::uint64_t>(row_begin) * sizeof(float);
    if (Status read = file_->read_at(out, tensor_.info.offset + begin); !read) return read;
    for (std::size_t at = 0; at < out.size(); at += sizeof(float)) {
      float gain = 0;
      std::memcpy(&gain, &out[at], sizeof(float));
      gain -= 1.0f;
      std::memcpy(&out[at], &gain, sizeof(float));
    }
    return {};
  }

 private:
  const std::shared_ptr<const ReadOnlyFile> file_;
  const GgufTensor tensor_;
};

}  // namespace

std::shared_ptr<const TensorForm> gguf_gain_form(std::shared_ptr<const ReadOnlyFile> file, GgufTensor tensor) {
  return std::make_shared<GgufGainForm>(std::move(file), std::move(tensor));
}

std::shared_ptr<const TensorForm> gguf_form(std::shared_ptr<const ReadOnlyFile> file, GgufTensor tensor, std::int64_t head_count) {
  return std::make_shared<GgufForm>(std::move(file), std::move(tensor), head_count);
}

ReadableTensor readable_tensor(const GgufFile& file, const GgufTensor& tensor) {
  return {tensor.info, [form = gguf_form(file.file, tensor, 0)](std::span<std::byte> out) -> Status {
            return out.empty() ? Status() : form->read_rows(0, out);
          }};
}

}  // namespace slora
