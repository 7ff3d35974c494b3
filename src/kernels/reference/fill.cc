#include "kernels/reference/fill.h"

#include <algorithm>

namespace slora::reference {

void fill(Tensor out, float value) {
  for (std::int64_t t = 0; t < out.rows; ++t) {
    switch (out.dtype) {
      case DType::f32:
        std::fill_n(out.row<float>(t), out.cols, value);
        break;
      case DType::f16:
        std::fill_n(out.row<Float16>(t), out.cols, to_float16(value));
        break;
      case DType::bf16:
        std::fill_n(out.row<Bfloat16>(t), out.cols, to_bfloat16(value));
        break;
      default:
        check(false, "expected a float element type");
    }
  }
}

}  // namespace slora::reference
