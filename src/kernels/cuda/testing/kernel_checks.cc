#include "kernels/cuda/testing/kernel_checks.h"

namespace slora::cuda {

std::span<const KernelCheck> kernel_checks() {
  static constexpr KernelCheck kChecks[] = {
      {"copy_pages", check_copy_pages},
      {"fill", check_fill},
      {"embed", check_embed},
      {"rms_norm", check_rms_norm},
      {"rope", check_rope},
      {"add_rms_norm", check_add_rms_norm},
      {"rms_norm_groups", check_rms_norm_groups},
      {"store_kv", check_store_kv},
      {"linear", check_linear},
      {"shrink", check_shrink},
      {"expand", check_expand},
      {"attend", check_attend},
      {"gated", check_gated},
      {"gather_rows", check_gather_rows},
      {"score", check_score},
      {"sample", check_sample},
  };
  return kChecks;
}

}  // namespace slora::cuda
