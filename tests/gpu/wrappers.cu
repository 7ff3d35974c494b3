// One kernel for each function of kernels/cuda/device.h (wrappers.h). Inputs come from wrapper_cases.cc.
#include "wrappers.h"

#include "kernels/cuda/device.h"

namespace slora::cuda {
#ifdef __CUDACC__
namespace on_gpu {
#else
namespace on_emulator {
#endif
namespace {

using Word = std::uint32_t;

__global__ void indices_kernel(const Word*, Word* out) {
  Word* const mine = out + 4 * (block_index() * thread_count() + thread_index());
  mine[0] = static_cast<Word>(thread_index());
  mine[1] = static_cast<Word>(thread_count());
  mine[2] = static_cast<Word>(1000 * block_index() + block_count());
  mine[3] = static_cast<Word>(100 * lane_index() + warp_index());
}

// in: 32 words, 32 lanes to read from. Two shuffles, then those with masks 1 to 16.
__global__ void shuffle_kernel(const Word* in, Word* out) {
  const std::int32_t lane = lane_index();
  const Word word = in[lane];
  const auto from = static_cast<std::int32_t>(in[32 + lane]);
  out[lane] = shuffle(word, from);
  out[32 + lane] = float_to_bits(shuffle(bits_to_float(word), from));
  for (std::int32_t i = 0; i < 5; ++i) out[64 + 32 * i + lane] = shuffle_xor(word, 1 << i);
}

__global__ void warp_sum_kernel(const Word* in, Word* out) { out[lane_index()] = float_to_bits(warp_sum(bits_to_float(in[lane_index()]))); }

// in and out lie lane after lane: a (4 words), b (2), sum (4).
__global__ void mma_kernel(const Word* in, Word* out) {
  const Word* const mine = in + 10 * lane_index();
  const Word a[4] = {mine[0], mine[1], mine[2], mine[3]}, b[2] = {mine[4], mine[5]};
  float sum[4];
  for (std::int32_t i = 0; i < 4; ++i) sum[i] = bits_to_float(mine[6 + i]);
  mma_m16n8k16(sum, a, b);
  for (std::int32_t i = 0; i < 4; ++i) out[4 * lane_index() + i] = float_to_bits(sum[i]);
}

struct MatrixShared {
  alignas(16) Word rows[32][4];
};
// in: 32 rows of 16 bytes, and which of them each lane gives.
__global__ void load_matrices_kernel(const Word* in, Word* out) {
  MatrixShared& mine = shared<MatrixShared>();
  const std::int32_t lane = lane_index();
  for (std::int32_t i = 0; i < 4; ++i) mine.rows[lane][i] = in[4 * lane + i];
  warp_barrier();
  const void* const row = mine.rows[in[128 + lane]];
  Word two[2], four[4], two_transposed[2], four_transposed[4];
  load_matrices(two, row);
  load_matrices(four, row);
  load_matrices_transposed(two_transposed, row);
  load_matrices_transposed(four_transposed, row);
  Word* const to = out + 12 * lane;
  for (std::int32_t i = 0; i < 2; ++i) {
    to[i] = two[i];
    to[2 + i] = two_transposed[i];
  }
  for (std::int32_t i = 0; i < 4; ++i) {
    to[4 + i] = four[i];
    to[8 + i] = four_transposed[i];
  }
}

template <std::int32_t kBytes>
struct Bytes {};
struct CopyShared {
  alignas(16) Word sixteen[32][4];
  Word eight[32][2];
  Word four[32];
};
// in: 32 x 4, 32 x 2 and 32 words, and of each of these 96 pieces how many bytes are valid. Lanes read what their neighbours copied.
// copy(size, to, from, valid bytes) is an asynchronous copy of so many bytes.
template <class Copy>
__device__ void copy_pieces(const Word* in, Word* out, const Copy& copy) {
  CopyShared& mine = shared<CopyShared>();
  const std::int32_t lane = lane_index(), next = (lane + 1) % 32;
  for (Word& word : mine.sixteen[lane]) word = 0xa5a5a5a5u;
  for (Word& word : mine.eight[lane]) word = 0xa5a5a5a5u;
  mine.four[lane] = 0xa5a5a5a5u;
  warp_barrier();
  const Word* const valid = in + 32 * 7;
  copy(Bytes<16>(), mine.sixteen[lane], in + 4 * lane, static_cast<std::int32_t>(valid[lane]));
  commit_copies();
  copy(Bytes<8>(), mine.eight[lane], in + 128 + 2 * lane, static_cast<std::int32_t>(valid[32 + lane]));
  copy(Bytes<4>(), &mine.four[lane], in + 192 + lane, static_cast<std::int32_t>(valid[64 + lane]));
  commit_copies();
  wait_copies<1>();
  warp_barrier();
  for (std::int32_t i = 0; i < 4; ++i) out[7 * lane + i] = mine.sixteen[next][i];
  wait_copies<0>();
  warp_barrier();
  for (std::int32_t i = 0; i < 2; ++i) out[7 * lane + 4 + i] = mine.eight[next][i];
  out[7 * lane + 6] = mine.four[next];
}
__global__ void copy_async_kernel(const Word* in, Word* out) {
  copy_pieces(in, out, []<std::int32_t kBytes>(Bytes<kBytes>, void* to, const void* from, std::int32_t valid_bytes) {
    copy_async<kBytes>(to, from, valid_bytes);
  });
}
// Even lanes' pieces are read once, those of the others again.
__global__ void copy_async_policy_kernel(const Word* in, Word* out) {
  const CachePolicy policy = lane_index() % 2 == 0 ? read_once() : read_again();
  copy_pieces(in, out, [policy]<std::int32_t kBytes>(Bytes<kBytes>, void* to, const void* from, std::int32_t valid_bytes) {
    copy_async<kBytes>(to, from, valid_bytes, policy);
  });
}

struct alignas(8) TwoWords {
  Word words[2];
};
struct alignas(16) FourWords {
  Word words[4];
};
// in: 32 x 4 words.
__global__ void loads_and_stores_kernel(const Word* in, Word* out) {
  const std::int32_t lane = lane_index();
  const auto four = load_once(reinterpret_cast<const FourWords*>(in) + lane);
  store_whole(reinterpret_cast<FourWords*>(out) + lane, four);
  const Word first = load_once(in + 4 * lane), last = load_once(in + 4 * lane + 3);
  store_whole(reinterpret_cast<TwoWords*>(out) + 64 + lane, TwoWords{{first, last}});
}

// out[0] counts from -1; a thread marks the number that it found, so that every mark is there once.
__global__ void atomic_add_kernel(const Word*, Word* out) {
  const Word number = atomic_add(out, 1) + 1;
  out[1 + number] = number;
}

// The last of eight blocks, by the counter out[0] from -1, finds what all have written. in: 256 words.
struct FenceShared {
  bool is_last;
};
__global__ void fence_kernel(const Word* in, Word* out) {
  FenceShared& mine = shared<FenceShared>();
  const std::int32_t t = thread_index();
  Word* const written = out + 1 + 32;
  written[32 * block_index() + t] = in[32 * block_index() + t];
  block_barrier();
  if (t == 0) {
    fence();
    mine.is_last = atomic_add(out, 1) + 1 == static_cast<Word>(block_count() - 1);
    fence();
  }
  block_barrier();
  if (!mine.is_last) return;
  Word sum = 0;
  for (std::int32_t block = 0; block < block_count(); ++block) sum = 31 * sum + written[32 * block + t];
  out[1 + t] = sum;
}

struct BarrierShared {
  Word values[128];
};
// Threads of a block read what others of their group wrote, again and again: from the thread `distance` further within `group` threads.
template <class Barrier>
__device__ void exchange(const Word* in, Word* out, std::int32_t group, std::int32_t distance, const Barrier& barrier) {
  BarrierShared& mine = shared<BarrierShared>();
  const std::int32_t t = thread_index(), from = t / group * group + (t + distance) % group;
  Word value = in[t];
  for (std::int32_t round = 0; round < 8; ++round) {
    mine.values[t] = value;
    barrier();
    value = value * 1664525u + mine.values[from] + 1013904223u;
    barrier();
  }
  out[t] = value;
}
__global__ void block_barrier_kernel(const Word* in, Word* out) {
  exchange(in, out, 128, 37, [] { block_barrier(); });
}
__global__ void warp_barrier_kernel(const Word* in, Word* out) {
  exchange(in, out, 32, 5, [] { warp_barrier(); });
}

// As much shared memory as every device has.
struct LargeShared {
  Word values[24576];
};
__global__ void large_shared_kernel(const Word* in, Word* out) {
  LargeShared& mine = shared<LargeShared>();
  const std::int32_t t = thread_index();
  for (std::int32_t i = 0; i < 96; ++i) mine.values[256 * i + t] = in[t] + static_cast<Word>(i);
  block_barrier();
  Word sum = 0;
  for (std::int32_t i = 0; i < 96; ++i) sum = 31 * sum + mine.values[24575 - (256 * i + t)];
  out[t] = sum;
}

__global__ void pack_kernel(const Word* in, Word* out) {
  const std::int32_t t = thread_index();
  out[t] = pack_bf16(bits_to_float(in[2 * t]), bits_to_float(in[2 * t + 1]));
}
// in: pairs of 64 bits, then floats.
__global__ void multiply_high_kernel(const Word* in, Word* out) {
  const std::int32_t t = thread_index();
  const auto number = [&](std::int32_t at) { return static_cast<std::uint64_t>(in[at]) << 32 | in[at + 1]; };
  const std::uint64_t high = multiply_high(number(4 * t), number(4 * t + 2));
  out[2 * t] = static_cast<Word>(high >> 32);
  out[2 * t + 1] = static_cast<Word>(high);
}
__global__ void multiply_add_kernel(const Word* in, Word* out) {
  const std::int32_t t = thread_index();
  out[t] = float_to_bits(multiply_add(bits_to_float(in[3 * t]), bits_to_float(in[3 * t + 1]), bits_to_float(in[3 * t + 2])));
}
__global__ void larger_kernel(const Word* in, Word* out) {
  const std::int32_t t = thread_index();
  out[t] = float_to_bits(larger(bits_to_float(in[2 * t]), bits_to_float(in[2 * t + 1])));
}
__global__ void power_kernel(const Word* in, Word* out) {
  out[thread_index()] = float_to_bits(power_of_two(bits_to_float(in[thread_index()])));
}
__global__ void logarithm_kernel(const Word* in, Word* out) {
  out[thread_index()] = float_to_bits(logarithm_of_two(bits_to_float(in[thread_index()])));
}
__global__ void reciprocal_kernel(const Word* in, Word* out) {
  out[thread_index()] = float_to_bits(reciprocal(bits_to_float(in[thread_index()])));
}
__global__ void reciprocal_sqrt_kernel(const Word* in, Word* out) {
  out[thread_index()] = float_to_bits(reciprocal_sqrt(bits_to_float(in[thread_index()])));
}

}  // namespace

std::span<const Wrapper> wrappers() {
  static const Wrapper kWrappers[] = {
      {"indices", indices_kernel, 3, 96, 0, 0, 3 * 96 * 4},
      {"shuffle", shuffle_kernel, 1, 32, 0, 64, 7 * 32},
      {"warp_sum", warp_sum_kernel, 1, 32, 0, 32, 32},
      {"mma_integers", mma_kernel, 1, 32, 0, 320, 128},
      {"mma_reals", mma_kernel, 1, 32, 0, 320, 128},
      {"load_matrices", load_matrices_kernel, 1, 32, sizeof(MatrixShared), 160, 12 * 32},
      {"copy_async", copy_async_kernel, 1, 32, sizeof(CopyShared), 32 * 10, 32 * 7},
      {"copy_async_policy", copy_async_policy_kernel, 1, 32, sizeof(CopyShared), 32 * 10, 32 * 7},
      {"loads_and_stores", loads_and_stores_kernel, 1, 32, 0, 128, 32 * 6},
      {"atomic_add", atomic_add_kernel, 8, 64, 0, 0, 1 + 512},
      {"fence", fence_kernel, 8, 32, sizeof(FenceShared), 256, 1 + 32 + 256},
      {"block_barrier", block_barrier_kernel, 1, 128, sizeof(BarrierShared), 128, 128},
      {"warp_barrier", warp_barrier_kernel, 1, 128, sizeof(BarrierShared), 128, 128},
      {"large_shared", large_shared_kernel, 1, 256, sizeof(LargeShared), 256, 256},
      {"pack_bf16", pack_kernel, 1, 256, 0, 512, 256},
      {"multiply_high", multiply_high_kernel, 1, 128, 0, 512, 256},
      {"multiply_add", multiply_add_kernel, 1, 128, 0, 384, 128},
      {"larger", larger_kernel, 1, 128, 0, 256, 128},
      {"power_of_two", power_kernel, 1, 256, 0, 256, 256},
      {"logarithm_of_two", logarithm_kernel, 1, 256, 0, 256, 256},
      {"reciprocal", reciprocal_kernel, 1, 256, 0, 256, 256},
      {"reciprocal_sqrt", reciprocal_sqrt_kernel, 1, 256, 0, 256, 256},
  };
  return kWrappers;
}

void launch_wrapper(const Wrapper& wrapper, Stream stream, const std::uint32_t* in, std::uint32_t* out) {
  launch(wrapper.kernel, {wrapper.blocks, wrapper.threads, wrapper.shared_bytes}, stream, in, out);
}

}  // namespace on_gpu or on_emulator
}  // namespace slora::cuda
