#pragma once
#include <algorithm>
#include <cstring>
#include <span>
#include <vector>

#include "backend/backend.h"

namespace slora {

// A vector [1, count] fp32 in the host's memory.
inline std::span<const float> numbers_of(Tensor vector) {
  if (vector.cols == 0) return {};
  return {vector.row<float>(0), static_cast<std::size_t>(vector.cols)};
}
inline std::span<const float> numbers_of(const DeviceVector& vector) { return numbers_of(vector.view()); }

// The ids of a step's input tokens, with those that the previous step drew in their places. Used by an Ops.
class InputIds {
 public:
  // Valid until the next call. A row that drew none gives token 0: nobody will use what is computed from it.
  std::span<const TokenId> find(StepArray<TokenId> ids, const TokenResult* previous) {
    const std::span<const TokenId> given = ids.on_device();
    if (std::ranges::none_of(given, [](TokenId id) { return id < 0; })) return given;
    ids_.assign(given.begin(), given.end());
    for (TokenId& id : ids_) {
      if (id < 0) id = std::max(previous[-1 - id].id, 0);
    }
    return ids_;
  }

 private:
  std::vector<TokenId> ids_;
};

// What backends share that compute in the host's memory: allocating is the system's, copies are plain ones, and whatever was called is done
// when the call returns.
class HostBackend : public Backend {
 public:
  DType activation_dtype() const override { return DType::f32; }
  Buffer allocate(std::size_t bytes) override { return Buffer(bytes); }
  bool shares_host_memory() const override { return true; }
  Buffer host_memory(std::size_t bytes) override { return Buffer(bytes); }
  int depth() const override { return 1; }
  const std::byte* upload_step(int, std::span<const std::byte> bytes) override { return bytes.data(); }
  bool replays_steps() const override { return false; }
  void replay_step(const StepKey&, const std::function<void()>& call_ops) override { call_ops(); }
  Fence download_step(std::span<std::byte> to, const std::byte* from) override {
    std::memcpy(to.data(), from, to.size());
    return {};
  }
  Fence mark() override { return {}; }
  Fence copy_in(std::span<const CopyIn> copies) override {
    for (const CopyIn& copy : copies) std::memcpy(copy.to, copy.from, copy.bytes);
    return {};
  }
  bool wait(Fence, std::chrono::milliseconds) override { return true; }
  void upload(Tensor to, const void* from) override {
    const std::size_t row_bytes = static_cast<std::size_t>(to.cols) * bytes_of(to.dtype);
    for (std::int64_t row = 0; row < to.rows; ++row) {
      std::memcpy(to.row_bytes(row), static_cast<const std::byte*>(from) + static_cast<std::size_t>(row) * row_bytes, row_bytes);
    }
  }
  void download(void* to, Tensor from) override {
    const std::size_t row_bytes = static_cast<std::size_t>(from.cols) * bytes_of(from.dtype);
    for (std::int64_t row = 0; row < from.rows; ++row) {
      std::memcpy(static_cast<std::byte*>(to) + static_cast<std::size_t>(row) * row_bytes, from.row_bytes(row), row_bytes);
    }
  }
};

}  // namespace slora
