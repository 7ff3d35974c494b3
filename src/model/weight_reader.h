#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "formats/model_files.h"

namespace slora {

// Told how many bytes of how many have been read.
using LoadProgress = std::function<void(std::uint64_t done, std::uint64_t total)>;

// Brings tensors of a model's files to their places: vectors as fp32, matrices packed by the backend. Places are named first; then
// read() goes through each file once, from its beginning, on as many threads as the backend computes with. Each thread reads some
// rows and packs them while they are in its cache, so what is held beside the places is one chunk a thread. Owned and used by one
// thread; the places outlive it.
class WeightReader {
 public:
  WeightReader(const ModelFiles& files, Backend& backend) : files_(files), backend_(backend) {}

  // out [size of tensor `name`]. Requires here and below: the files have the tensor, of a float type and of this shape.
  void add_vector(std::span<float> out, const std::string& name);
  // Rows of `weight` from `row_begin` on: all of tensor `name` [rows, weight.in].
  void add_rows(LinearWeight& weight, std::int64_t row_begin, const std::string& name);

  // `progress` may be empty; it is called on the calling thread.
  [[nodiscard]] Status read(const LoadProgress& progress);

 private:
  // What a thread reads at once: bytes [begin, begin + bytes) of a tensor.
  struct Chunk {
    const ModelTensor* tensor;
    std::uint64_t begin;
    std::size_t bytes;
    LinearWeight* weight;    // or nullptr: a vector
    std::int64_t row_begin;  // of the weight
    float* out;              // or nullptr: a matrix
  };
  class Threads;

  [[nodiscard]] const ModelTensor& find(const std::string& name) const;
  [[nodiscard]] Status read_chunk(const Chunk& chunk, std::span<std::byte> bytes) const;

  const ModelFiles& files_;
  Backend& backend_;
  std::vector<Chunk> chunks_;
};

}  // namespace slora
