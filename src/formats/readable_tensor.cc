#include "formats/readable_tensor.h"

#include <cstring>
#include <utility>

#include "base/check.h"

namespace slora {

std::vector<ReadableTensor> readable_tensors(const std::shared_ptr<const SafetensorsFile>& file) {
  std::vector<ReadableTensor> tensors;
  for (const TensorInfo& info : file->tensors()) {
    tensors.push_back({info, [file, &info](std::span<std::byte> out) { return file->read(info, out); }});
  }
  return tensors;
}

ReadableTensor transposed(ReadableTensor tensor) {
  check(tensor.info.shape.size() == 2, "expected a matrix");
  TensorInfo info = tensor.info;
  std::swap(info.shape[0], info.shape[1]);
  return {std::move(info), [tensor = std::move(tensor)](std::span<std::byte> out) -> Status {
            std::vector<std::byte> source(out.size());  // [rows, columns]
            if (Status read = tensor.read(source); !read) return read;
            const std::size_t element = bytes_of(tensor.info.dtype);
            const auto rows = static_cast<std::size_t>(tensor.info.shape[0]), columns = static_cast<std::size_t>(tensor.info.shape[1]);
            for (std::size_t row = 0; row < rows; ++row) {
              for (std::size_t column = 0; column < columns; ++column) {
                std::memcpy(&out[(column * rows + row) * element], &source[(row * columns + column) * element], element);
              }
            }
            return {};
          }};
}

ReadableTensor with_pairs_apart(ReadableTensor tensor, std::int64_t head_count) {
  check(!tensor.info.shape.empty() && tensor.info.shape[0] % (2 * head_count) == 0, "expected heads of pairs");
  TensorInfo info = tensor.info;
  return {std::move(info), [tensor = std::move(tensor), head_count](std::span<std::byte> out) -> Status {
            std::vector<std::byte> source(out.size());  // [heads, pairs, 2, row]
            if (Status read = tensor.read(source); !read) return read;
            const auto heads = static_cast<std::size_t>(head_count);
            const std::size_t pairs = static_cast<std::size_t>(tensor.info.shape[0]) / heads / 2;
            const std::size_t row_bytes = out.empty() ? 0 : out.size() / (heads * pairs * 2);
            for (std::size_t i = 0; row_bytes > 0 && i < heads * pairs * 2; ++i) {
              const std::size_t head = i / (pairs * 2), pair = i / 2 % pairs, half = i % 2;
              std::memcpy(&out[((head * 2 + half) * pairs + pair) * row_bytes], &source[i * row_bytes], row_bytes);
            }
            return {};
          }};
}

}  // namespace slora
