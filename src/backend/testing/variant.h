#pragma once
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "backend/backend.h"

// What the tests of Ops run on: every backend with every instruction set.
namespace slora::testing {

struct Variant {
  const char* label;
  const char* backend;
  Instructions instructions = Instructions::best;
  int threads = 2;
  WeightStorage weights = WeightStorage::bf16;
  std::unique_ptr<Backend> (*make)() = nullptr;  // of a backend that create_backend() does not know
  // How many sizes and cuts at a time the tests of many skip over, on a device that computes slowly.
  std::int32_t stride = 1;
};

// Of the backends that create_backend() knows.
inline std::vector<Variant> every_variant() {
  return {{"reference", "reference"},
          {"cpu_best", "cpu"},
          {"cpu_avx512_bf16", "cpu", Instructions::avx512_bf16},
          {"cpu_avx512", "cpu", Instructions::avx512},
          {"cpu_avx2", "cpu", Instructions::avx2},
          {"cpu_portable", "cpu", Instructions::portable}};
}

// Those that store weights as int8; their products are compared with a formula of their own.
inline std::vector<Variant> int8_variants() {
  return {{"int8_best", "cpu", Instructions::best, 2, WeightStorage::int8},
          {"int8_avx512_bf16", "cpu", Instructions::avx512_bf16, 2, WeightStorage::int8},
          {"int8_avx512", "cpu", Instructions::avx512, 2, WeightStorage::int8},
          {"int8_avx2_vnni", "cpu", Instructions::avx2_vnni, 2, WeightStorage::int8},
          {"int8_avx2", "cpu", Instructions::avx2, 2, WeightStorage::int8},
          {"int8_portable", "cpu", Instructions::portable, 2, WeightStorage::int8}};
}

// The same for int4.
inline std::vector<Variant> int4_variants() {
  return {{"int4_best", "cpu", Instructions::best, 2, WeightStorage::int4},
          {"int4_avx512_bf16", "cpu", Instructions::avx512_bf16, 2, WeightStorage::int4},
          {"int4_avx512", "cpu", Instructions::avx512, 2, WeightStorage::int4},
          {"int4_avx2_vnni", "cpu", Instructions::avx2_vnni, 2, WeightStorage::int4},
          {"int4_avx2", "cpu", Instructions::avx2, 2, WeightStorage::int4},
          {"int4_portable", "cpu", Instructions::portable, 2, WeightStorage::int4}};
}

// What the tests of Ops run on, and those of them that store weights as int8 and int4: defined by each program that is made of these tests.
std::vector<Variant> ops_variants();
std::vector<Variant> ops_int8_variants();
std::vector<Variant> ops_int4_variants();
// The first is what the others are to agree with.
inline std::vector<Variant> reference_and_ops_variants() {
  std::vector<Variant> variants = ops_variants();
  variants.insert(variants.begin(), Variant{"reference", "reference"});
  return variants;
}

inline std::unique_ptr<Backend> open(const Variant& variant) {
  if (variant.make != nullptr) return variant.make();
  Result<std::unique_ptr<Backend>> backend = create_backend(
      variant.backend, BackendOptions{.threads = variant.threads, .instructions = variant.instructions, .weights = variant.weights});
  EXPECT_TRUE(backend.has_value());
  return std::move(*backend);
}

}  // namespace slora::testing
