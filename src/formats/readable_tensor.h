#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "formats/safetensors.h"

namespace slora {

// A tensor of a file of any form, or what is made of one: what it is, and how its numbers are read when they are wanted. Holds what it
// reads from. Any thread.
struct ReadableTensor {
  TensorInfo info;  // its offset means nothing
  // Fills `out`, of info.bytes bytes, row-major.
  std::function<Status(std::span<std::byte> out)> read;
};

[[nodiscard]] std::vector<ReadableTensor> readable_tensors(const std::shared_ptr<const SafetensorsFile>& file);

// [rows, columns] as [columns, rows]. Requires: two dimensions.
[[nodiscard]] ReadableTensor transposed(ReadableTensor tensor);

// Rotary embeddings turn pairs of a head's outputs. Meta's form of Llama has the two of a pair next to each other, Hugging Face's has all
// the first ones before all the second ones. Makes the latter of the former, for a tensor whose rows are a product's outputs. Requires: its
// first dimension is a multiple of 2 x head_count.
[[nodiscard]] ReadableTensor with_pairs_apart(ReadableTensor tensor, std::int64_t head_count);

}  // namespace slora
