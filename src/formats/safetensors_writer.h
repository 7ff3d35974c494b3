#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "formats/new_file.h"
#include "formats/readable_tensor.h"
#include "tensor/dtype.h"

namespace slora {

// A tensor to be written: `bytes` holds product of shape x element size bytes, row-major.
struct TensorToWrite {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  std::vector<std::byte> bytes;
};

// `values` rounded to `dtype` (f32, f16 or bf16). Requires: the number of values is that of the shape.
TensorToWrite tensor_to_write(std::string name, DType dtype, std::vector<std::int64_t> shape, const std::vector<float>& values);

// Writes a safetensors file with the tensors in this order, replacing an existing file. For tests and benchmarks.
[[nodiscard]] Status write_safetensors(const std::string& path, const std::vector<TensorToWrite>& tensors);

// Takes the bytes of a file, one piece after the other.
using ByteSink = std::function<Status(std::span<const std::byte> bytes)>;

// What comes before the tensors in a safetensors file that has them in this order, marked as PyTorch's as PEFT marks its own.
[[nodiscard]] std::string safetensors_beginning(std::span<const ReadableTensor> tensors);
// The whole file, with one tensor in memory at a time. The errors of the tensors and of the sink.
[[nodiscard]] Status write_safetensors(const ByteSink& sink, std::span<const ReadableTensor> tensors);
// A tensor whose bytes follow later.
struct TensorShape {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;

  [[nodiscard]] std::uint64_t bytes() const;
};

// A new file without its tensors' bytes, which are appended in this order. Its metadata says what transformers wants there: that the
// tensors are PyTorch's. E_EXISTS, E_WRITE.
[[nodiscard]] Result<NewFile> begin_safetensors(const std::string& path, std::span<const TensorShape> tensors);

}  // namespace slora
