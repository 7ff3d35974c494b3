#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "formats/model_files.h"
#include "formats/shard_shape.h"

namespace slora {

// Reports how many bytes of how many have been read.
using LoadProgress = std::function<void(std::uint64_t done, std::uint64_t total)>;

// Brings tensors of a model's files, or a shard's parts of them, to their places: vectors as fp32, matrices packed by the backend. Places
// are named first; then read() goes through each file once, from its beginning, on as many threads as the backend computes with. Each
// thread reads some rows and packs them while they are in its cache, so what is held besides the places is one chunk per thread. Owned and
// used by one thread; the places outlive it.
class WeightReader {
 public:
  WeightReader(const ModelFiles& files, Backend& backend) : files_(files), backend_(backend) {}

  // out [count]: elements of vector `name` from `begin` on. Requires here and below: the files have the tensor, of a float type, and the
  // part lies inside of it.
  void add_vector(std::span<float> out, const std::string& name, std::int64_t begin);
  // Rows [row_begin, row_begin + rows.count) of `weight`: these rows and columns of tensor `name`. Requires: columns.count == weight.in.
  void add_matrix(LinearWeight& weight, std::int64_t row_begin, const std::string& name, Slice rows, Slice columns);

  // `progress` may be empty; it is called on the calling thread. E_READ, E_NONFINITE, or E_RANGE of numbers that int4 can't keep, with
  // tensor and file.
  [[nodiscard]] Status read(const LoadProgress& progress);

 private:
  // What a thread reads at once: bytes [begin, begin + bytes) of a tensor.
  struct Chunk {
    const ModelTensor* tensor;
    std::uint64_t begin;
    std::size_t bytes;
    LinearWeight* weight;      // or nullptr: a vector
    std::int64_t row_begin;    // of the weight
    std::int64_t tensor_cols;  // of the tensor's rows, which are read whole
    std::int64_t col_begin;    // of the part that goes to the weight
    float* out;                // or nullptr: a matrix
  };
  class Threads;

  [[nodiscard]] const ModelTensor& find(const std::string& name) const;
  [[nodiscard]] Status check_int4_range(const Chunk& chunk, std::span<const std::byte> bytes) const;
  [[nodiscard]] Status read_chunk(const Chunk& chunk, std::span<std::byte> bytes) const;

  const ModelFiles& files_;
  Backend& backend_;
  std::vector<Chunk> chunks_;
};

}  // namespace slora
