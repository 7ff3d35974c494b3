#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backend/backend.h"

namespace slora {

// A test double that passes everything on to another backend, for doubles that change a part of it.
class ForwardingBackend : public Backend {
 public:
  explicit ForwardingBackend(std::unique_ptr<Backend> inner) : inner_(std::move(inner)) {}

  std::string_view name() const override { return inner_->name(); }
  std::string description() const override { return inner_->description(); }
  int thread_count() const override { return inner_->thread_count(); }
  DType product_dtype() const override { return inner_->product_dtype(); }
  DType activation_dtype() const override { return inner_->activation_dtype(); }
  DType kv_dtype() const override { return inner_->kv_dtype(); }
  AdapterFormat adapter_format() const override { return inner_->adapter_format(); }
  LinearWeight make_linear(std::int64_t out, std::int64_t in) override { return inner_->make_linear(out, in); }
  void pack_rows(LinearWeight& weight, std::int64_t row_begin, Tensor rows) override { inner_->pack_rows(weight, row_begin, rows); }
  std::size_t linear_bytes(std::int64_t out, std::int64_t in) const override { return inner_->linear_bytes(out, in); }
  Buffer allocate(std::size_t bytes) override { return inner_->allocate(bytes); }
  void upload(Tensor to, const void* from) override { inner_->upload(to, from); }
  void download(void* to, Tensor from) override { inner_->download(to, from); }
  Buffer host_memory(std::size_t bytes) override { return inner_->host_memory(bytes); }
  int depth() const override { return inner_->depth(); }
  const std::byte* upload_step(int slot, std::span<const std::byte> bytes) override { return inner_->upload_step(slot, bytes); }
  bool replays_steps() const override { return inner_->replays_steps(); }
  void replay_step(const StepKey& key, const std::function<void()>& call_ops) override { inner_->replay_step(key, call_ops); }
  Fence download_step(std::span<std::byte> to, const std::byte* from) override { return inner_->download_step(to, from); }
  Fence mark() override { return inner_->mark(); }
  Fence copy_in(std::span<const CopyIn> copies) override { return inner_->copy_in(copies); }
  bool wait(Fence fence, std::chrono::milliseconds limit) override { return inner_->wait(fence, limit); }
  Ops& ops() override { return inner_->ops(); }
  std::uint64_t progress() const override { return inner_->progress(); }

 protected:
  [[nodiscard]] Backend& inner() const { return *inner_; }

 private:
  const std::unique_ptr<Backend> inner_;
};

// The numbers of a matrix in device memory, as fp32.
inline std::vector<float> downloaded(Backend& backend, Tensor tensor) {
  const auto count = static_cast<std::size_t>(tensor.rows * tensor.cols);
  std::vector<std::byte> bytes(count * bytes_of(tensor.dtype));
  backend.download(bytes.data(), tensor);
  std::vector<float> numbers(count);
  convert_to_float(numbers.data(), bytes.data(), tensor.dtype, count);
  return numbers;
}

}  // namespace slora
