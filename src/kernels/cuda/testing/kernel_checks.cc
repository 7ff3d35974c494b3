#include "kernels/cuda/testing/kernel_checks.h"

namespace slora::cuda {

std::span<const KernelCheck> kernel_checks() {
  static constexpr KernelCheck kChecks[] = {
      // those that take longest come last
      {"copy_pages", check_copy_pages},
      {"fill", check_fill},
      {"embed", check_embed},
      {"rms_norm", check_rms_norm},
      {"rope", check_rope},
      {"add_rms_norm", check_add_rms_norm, "rms_norm.cu"},
      {"rms_norm_groups", check_rms_norm_groups, "rms_norm.cu"},
      {"store_kv", check_store_kv, "span_of_row.h"},
      {"linear", check_linear},
      {"linear_order", check_linear_order, "linear.cu"},
      {"shrink", check_shrink, "matrix_row.h"},
      {"expand", check_expand},
      {"scale_rows", check_scale_rows, "matrix_row.h"},
      {"add_products", check_add_products, "scale_rows.cu matrix_row.h"},
      {"gated", check_gated},
      {"gather_rows", check_gather_rows},
      {"score", check_score},
      {"sample", check_sample, "adjust_logits.h token_cut.h token_order.h"},
      {"attend", check_attend},
  };
  return kChecks;
}

}  // namespace slora::cuda
