#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace slora::cuda {

// One kernel with random shapes, numbers and orders of threads, against plain loops. Returns what was wrong, or nothing.
std::string check_copy_pages(std::uint64_t seed);
std::string check_fill(std::uint64_t seed);
std::string check_embed(std::uint64_t seed);
std::string check_rms_norm(std::uint64_t seed);
std::string check_add_rms_norm(std::uint64_t seed);
std::string check_rms_norm_groups(std::uint64_t seed);
std::string check_rope(std::uint64_t seed);
std::string check_store_kv(std::uint64_t seed);
std::string check_linear(std::uint64_t seed);
std::string check_linear_order(std::uint64_t seed);
std::string check_shrink(std::uint64_t seed);
std::string check_expand(std::uint64_t seed);
std::string check_scale_rows(std::uint64_t seed);
std::string check_add_products(std::uint64_t seed);
std::string check_attend(std::uint64_t seed);
std::string check_gated(std::uint64_t seed);
std::string check_gather_rows(std::uint64_t seed);
std::string check_score(std::uint64_t seed);
std::string check_sample(std::uint64_t seed);

struct KernelCheck {
  const char* name;
  std::string (*run)(std::uint64_t seed);
  std::string_view other_files{};  // of the kernel, besides those that begin with its name

  // Whether this file of src/kernels/cuda is the kernel's.
  [[nodiscard]] bool is_of(std::string_view file) const {
    const std::string_view leaf = file.substr(file.rfind('/') + 1);
    return !leaf.empty() && (leaf.starts_with(name) || other_files.find(leaf) != std::string_view::npos);
  }
};
[[nodiscard]] std::span<const KernelCheck> kernel_checks();

}  // namespace slora::cuda
