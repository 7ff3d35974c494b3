#include "bench/onednn_product.h"

#include <omp.h>

#include <cstring>
#include <dnnl.hpp>
#include <memory>
#include <unordered_map>
#include <vector>

#include "tensor/buffer.h"

namespace slora::bench {
namespace {

constexpr int kFillByte = 0x3c;  // 0.0115 in bf16, in any layout

Buffer filled(std::size_t bytes) {
  Buffer memory(bytes);
  std::memset(memory.data(), kFillByte, bytes);
  return memory;
}

// The library's objects and their memory, in huge pages where available.
class Product {
 public:
  explicit Product(const OneDnnShape& shape) : engine_(dnnl::engine::kind::cpu, 0), stream_(engine_), threads_(shape.threads) {
    using Type = dnnl::memory::data_type;
    using Tag = dnnl::memory::format_tag;
    const dnnl::memory::desc x({shape.rows, shape.in}, Type::bf16, Tag::ab), y({shape.rows, shape.out}, Type::f32, Tag::ab);
    const dnnl::memory::desc any({shape.in, shape.out}, Type::bf16, Tag::any);
    const dnnl::matmul::primitive_desc chosen({x, any, y}, engine_);
    const dnnl::memory::desc weights = chosen.weights_desc();
    x_ = filled(x.get_size());
    y_ = filled(y.get_size());
    for (std::size_t i = 0; i < shape.copy_count; ++i) {
      weights_.push_back(filled(weights.get_size()));
      arguments_.push_back({{DNNL_ARG_SRC, dnnl::memory(x, engine_, x_.data())},
                            {DNNL_ARG_WEIGHTS, dnnl::memory(weights, engine_, weights_.back().data())},
                            {DNNL_ARG_DST, dnnl::memory(y, engine_, y_.data())}});
    }
    product_ = dnnl::matmul(chosen);
  }

  void run(std::size_t index) {
    omp_set_num_threads(threads_);
    product_.execute(stream_, arguments_[index]);
    stream_.wait();
  }

 private:
  dnnl::engine engine_;
  dnnl::stream stream_;
  const int threads_;
  Buffer x_, y_;
  std::vector<Buffer> weights_;
  std::vector<std::unordered_map<int, dnnl::memory>> arguments_;  // of each copy
  dnnl::matmul product_;
};

}  // namespace

std::function<void(std::size_t index)> make_onednn_product(const OneDnnShape& shape) {
  try {
    const auto product = std::make_shared<Product>(shape);  // shared because std::function requires a copyable callable
    return [product](std::size_t index) { product->run(index); };
  } catch (const dnnl::error&) {
    return {};
  }
}

}  // namespace slora::bench
