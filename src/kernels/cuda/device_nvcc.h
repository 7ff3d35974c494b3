#pragma once
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "kernels/cuda/stream.h"

// nvcc's form of kernels/cuda/device.h, which says what each function does. All assembly of the kernels is here.
namespace slora::cuda {

struct Place {  // the emulator's; nothing here
  static constexpr Place current() { return {}; }
};

struct LaunchShape {
  std::int32_t blocks;
  std::int32_t threads;  // of a block, a multiple of 32
  std::size_t shared_bytes = 0;
};

// A launch that fails leaves its error with the runtime, where DeviceApi::last_error() finds it.
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), const LaunchShape& shape, Stream stream, const Arguments&... arguments) {
  constexpr std::size_t kSharedBytesDefault = 48 << 10;  // more must be asked for
  if (shape.shared_bytes > kSharedBytesDefault) {
    const cudaError_t set = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shape.shared_bytes));
    if (set != cudaSuccess) return;
  }
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(shape.blocks));
  config.blockDim = dim3(static_cast<unsigned>(shape.threads));
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = stream;
  static_cast<void>(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...));
}

__device__ inline std::int32_t thread_index() { return static_cast<std::int32_t>(threadIdx.x); }
__device__ inline std::int32_t thread_count() { return static_cast<std::int32_t>(blockDim.x); }
__device__ inline std::int32_t block_index() { return static_cast<std::int32_t>(blockIdx.x); }
__device__ inline std::int32_t block_count() { return static_cast<std::int32_t>(gridDim.x); }

template <class T>
__device__ T& shared(Place = {}) {
  extern __shared__ __align__(1024) unsigned char shared_memory[];
  return *reinterpret_cast<T*>(shared_memory);
}

__device__ inline void block_barrier(Place = {}) { __syncthreads(); }
__device__ inline void warp_barrier(Place = {}) { __syncwarp(); }

inline constexpr unsigned kAllLanes = 0xffffffffu;
template <class T>
__device__ T shuffle(T value, std::int32_t lane, Place = {}) {
  return __shfl_sync(kAllLanes, value, lane);
}
template <class T>
__device__ T shuffle_xor(T value, std::int32_t lane_mask, Place = {}) {
  return __shfl_xor_sync(kAllLanes, value, lane_mask);
}

__device__ inline void mma_m16n8k16(float (&sum)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], Place = {}) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ inline std::uint32_t shared_address(const void* address) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(address));
}
__device__ inline void load_matrices(std::uint32_t (&words)[2], const void* row, Place = {}) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
               : "=r"(words[0]), "=r"(words[1])
               : "r"(shared_address(row))
               : "memory");
}
__device__ inline void load_matrices(std::uint32_t (&words)[4], const void* row, Place = {}) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "r"(shared_address(row))
               : "memory");
}
__device__ inline void load_matrices_transposed(std::uint32_t (&words)[2], const void* row, Place = {}) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
               : "=r"(words[0]), "=r"(words[1])
               : "r"(shared_address(row))
               : "memory");
}
__device__ inline void load_matrices_transposed(std::uint32_t (&words)[4], const void* row, Place = {}) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "r"(shared_address(row))
               : "memory");
}

template <std::int32_t kBytes>
__device__ void copy_async(void* to, const void* from, std::int32_t valid_bytes = kBytes, Place = {}) {
  static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16);
  if constexpr (kBytes == 16) {  // .cg: past L1
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(valid_bytes) : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(shared_address(to)), "l"(from), "n"(kBytes), "r"(valid_bytes)
                 : "memory");
  }
}
// What the L2 does with lines that are read under it.
struct CachePolicy {
  std::uint64_t bits;
};
__device__ inline CachePolicy read_once() {
  CachePolicy policy;
  asm("createpolicy.fractional.L2::evict_first.b64 %0;" : "=l"(policy.bits));
  return policy;
}
__device__ inline CachePolicy read_again() {
  CachePolicy policy;
  asm("createpolicy.fractional.L2::evict_normal.b64 %0;" : "=l"(policy.bits));
  return policy;
}
template <std::int32_t kBytes>
__device__ void copy_async(void* to, const void* from, std::int32_t valid_bytes, CachePolicy policy, Place = {}) {
  static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16);
  if constexpr (kBytes == 16) {
    asm volatile("cp.async.cg.shared.global.L2::cache_hint [%0], [%1], 16, %2, %3;" ::"r"(shared_address(to)), "l"(from), "r"(valid_bytes),
                 "l"(policy.bits)
                 : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global.L2::cache_hint [%0], [%1], %2, %3, %4;" ::"r"(shared_address(to)), "l"(from), "n"(kBytes),
                 "r"(valid_bytes), "l"(policy.bits)
                 : "memory");
  }
}
__device__ inline void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <std::int32_t kPendingGroups>
__device__ void wait_copies(Place = {}) {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPendingGroups) : "memory");
}

template <class T>
__device__ T load_once(const T* address) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 16);
  T value;
  auto* const words = reinterpret_cast<std::uint32_t*>(&value);
  if constexpr (sizeof(T) == 16) {
    asm("{ .reg .b64 policy; createpolicy.fractional.L2::evict_first.b64 policy;"
        " ld.global.L1::no_allocate.L2::cache_hint.v4.u32 {%0, %1, %2, %3}, [%4], policy; }"
        : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
        : "l"(address));
  } else {
    asm("{ .reg .b64 policy; createpolicy.fractional.L2::evict_first.b64 policy;"
        " ld.global.L1::no_allocate.L2::cache_hint.u32 %0, [%1], policy; }"
        : "=r"(words[0])
        : "l"(address));
  }
  return value;
}

template <class T>
__device__ void store_whole(T* to, const T& value, Place = {}) {
  static_assert(sizeof(T) <= 16 && sizeof(T) == alignof(T));
  *to = value;
}

__device__ inline void fence(Place = {}) { __threadfence(); }
__device__ inline std::uint32_t atomic_add(std::uint32_t* address, std::uint32_t value, Place = {}) { return atomicAdd(address, value); }

__device__ inline std::uint32_t pack_bf16(float low, float high) {
  std::uint32_t word;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
  return word;
}
__device__ inline float bits_to_float(std::uint32_t bits) { return __uint_as_float(bits); }
__device__ inline std::uint32_t float_to_bits(float value) { return __float_as_uint(value); }
__device__ inline std::uint64_t multiply_high(std::uint64_t a, std::uint64_t b) { return __umul64hi(a, b); }
__device__ inline float multiply_add(float a, float b, float c) { return __fmaf_rn(a, b, c); }
__device__ inline float larger(float a, float b) { return fmaxf(a, b); }
__device__ inline float power_of_two(float exponent) {
  float value;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(value) : "f"(exponent));
  return value;
}
__device__ inline float logarithm_of_two(float value) {
  float logarithm;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(logarithm) : "f"(value));
  return logarithm;
}
__device__ inline float reciprocal(float value) {
  float result;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(value));
  return result;
}
__device__ inline float reciprocal_sqrt(float value) { return rsqrtf(value); }

}  // namespace slora::cuda
