#pragma once
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <type_traits>

#include "kernels/cuda/emulator/grid_shape.h"
#include "tensor/dtype.h"

// What kernels see of the emulated device: the host's form of kernels/cuda/device.h, which says what each function does.

struct CUstream_st;  // the type behind cudaStream_t

// The words that CUDA adds to C++ mean nothing to the host's compiler. They are the only macros of this project.
#define __global__
#define __device__
#define __launch_bounds__(...)

namespace slora::cuda {

using Place = emulator::Place;
using LaunchShape = emulator::GridShape;
using Stream = CUstream_st*;

#ifdef __SANITIZE_THREAD__
inline constexpr bool kIsWatched = true;
#else
inline constexpr bool kIsWatched = false;
#endif

// A stream, and the place of the launch.
struct StreamAt {
  StreamAt(Stream to, Place from = Place::current()) : stream(to), place(from) {}  // NOLINT: implicit, as an argument
  Stream stream;
  Place place;
};

void launch_bound(const StreamAt& to, const LaunchShape& shape, const emulator::BoundKernel& kernel);
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), const LaunchShape& shape, StreamAt to, const Arguments&... arguments) {
  static_assert((std::is_trivially_copyable_v<Parameters> && ...), "a device copies the bytes of a kernel's parameters");
  struct Bound {
    void (*kernel)(Parameters...);
    std::tuple<Parameters...> parameters;
  };
  const Bound bound{kernel, {arguments...}};
  const auto call = [](const void* pointer) {
    const auto& of_thread = *static_cast<const Bound*>(pointer);
    std::apply(of_thread.kernel, of_thread.parameters);
  };
  launch_bound(to, shape, {call, &bound, sizeof(bound), kIsWatched});
}

std::int32_t thread_index();
std::int32_t thread_count();
std::int32_t block_index();
std::int32_t block_count();

std::byte* shared_bytes(std::size_t bytes, Place place);
template <class T>
T& shared(Place place = Place::current()) {
  return *reinterpret_cast<T*>(shared_bytes(sizeof(T), place));
}

void block_barrier(Place place = Place::current());
void warp_barrier(Place place = Place::current());

std::uint32_t shuffle_word(std::uint32_t word, std::int32_t lane, Place place);
template <class T>
T shuffle(T value, std::int32_t lane, Place place = Place::current()) {
  return std::bit_cast<T>(shuffle_word(std::bit_cast<std::uint32_t>(value), lane, place));
}
template <class T>
T shuffle_xor(T value, std::int32_t lane_mask, Place place = Place::current()) {
  return cuda::shuffle(value, thread_index() % 32 ^ lane_mask, place);
}

void mma_m16n8k16(float (&sum)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], Place place = Place::current());
void load_matrices(std::uint32_t (&words)[2], const void* row, Place place = Place::current());
void load_matrices(std::uint32_t (&words)[4], const void* row, Place place = Place::current());
void load_matrices_transposed(std::uint32_t (&words)[2], const void* row, Place place = Place::current());
void load_matrices_transposed(std::uint32_t (&words)[4], const void* row, Place place = Place::current());

void issue_copy(void* to, const void* from, std::int32_t bytes, std::int32_t valid_bytes, Place place);
template <std::int32_t kBytes>
void copy_async(void* to, const void* from, std::int32_t valid_bytes = kBytes, Place place = Place::current()) {
  static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16);
  issue_copy(to, from, kBytes, valid_bytes, place);
}
enum class CachePolicy : std::uint8_t { plain };  // nothing to tell apart: what is emulated has no cache
inline CachePolicy read_once() { return CachePolicy::plain; }
inline CachePolicy read_again() { return CachePolicy::plain; }
template <std::int32_t kBytes>
void copy_async(void* to, const void* from, std::int32_t valid_bytes, CachePolicy, Place place = Place::current()) {
  cuda::copy_async<kBytes>(to, from, valid_bytes, place);
}
void commit_copies();
void wait_copy_groups(std::int32_t pending_groups, Place place);
template <std::int32_t kPendingGroups>
void wait_copies(Place place = Place::current()) {
  wait_copy_groups(kPendingGroups, place);
}

template <class T>
T load_once(const T* address) {
  return *address;
}

void store_bytes(void* to, const void* from, std::size_t bytes, Place place);
template <class T>
void store_whole(T* to, const T& value, Place place = Place::current()) {
  store_bytes(to, &value, sizeof(T), place);
}

void fence(Place place = Place::current());
std::uint32_t atomic_add(std::uint32_t* address, std::uint32_t value, Place place = Place::current());

inline std::uint32_t pack_bf16(float low, float high) {
  return static_cast<std::uint32_t>(to_bfloat16(low).bits) | static_cast<std::uint32_t>(to_bfloat16(high).bits) << 16;
}
inline float bits_to_float(std::uint32_t bits) { return std::bit_cast<float>(bits); }
inline std::uint32_t float_to_bits(float value) { return std::bit_cast<std::uint32_t>(value); }
inline std::uint64_t multiply_high(std::uint64_t a, std::uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<std::uint64_t>(static_cast<Wide>(a) * b >> 64);
}
inline float multiply_add(float a, float b, float c) { return std::fma(a, b, c); }
inline float larger(float a, float b) { return a < b ? b : a; }
inline float power_of_two(float exponent) { return std::exp2(exponent); }
inline float logarithm_of_two(float value) { return std::log2(value); }
inline float reciprocal(float value) { return 1.0f / value; }
inline float reciprocal_sqrt(float value) { return 1.0f / std::sqrt(value); }

}  // namespace slora::cuda
