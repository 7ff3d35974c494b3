// What the tests of Ops in this module run on, and which of these give the same bits.
#include "backend/testing/op_fixture.h"

namespace slora::testing {

std::vector<Variant> ops_variants() { return every_variant(); }
std::vector<Variant> ops_int8_variants() { return int8_variants(); }
std::vector<Variant> ops_int4_variants() { return int4_variants(); }

namespace {

TEST(Variants, AreOfTheBackendsThatTheyName) {
  for (const Variant& variant : every_variant()) EXPECT_EQ(open(variant)->name(), variant.backend);
  for (const Variant& variant : int8_variants()) EXPECT_NE(open(variant)->description().find("int8"), std::string::npos);
  for (const Variant& variant : int4_variants()) EXPECT_NE(open(variant)->description().find("int4"), std::string::npos);
}

// y = W x of random numbers.
std::vector<float> product(Instructions instructions, WeightStorage storage, std::int64_t rows) {
  constexpr std::int64_t kOut = 200, kIn = 488;
  const auto backend = create_backend("cpu", {.threads = 2, .instructions = instructions, .weights = storage}).value();
  Numbers numbers{31};
  const LinearWeight weight = pack(*backend, kOut, kIn, numbers.vector(kOut * kIn), DType::f32);
  const Matrix y(*backend, DType::f32, rows, kOut);
  backend->ops().linear(y, Matrix(*backend, DType::bf16, rows, kIn, numbers.vector(rows * kIn)), weight, {}, {}, {0, SiteKind::qkv});
  return values_of(y);
}

// So machines with it and without can serve together.
TEST(Variants, GiveTheSameBitsWithVnniAndWithout) {
  for (const WeightStorage storage : {WeightStorage::bf16, WeightStorage::int8, WeightStorage::int4}) {
    for (const std::int64_t rows : {1, 3, 8, 20}) {
      EXPECT_EQ(product(Instructions::avx512_vnni, storage, rows), product(Instructions::avx512, storage, rows))
          << name_of(storage) << ", " << rows << " rows";
      EXPECT_EQ(product(Instructions::avx2_vnni, storage, rows), product(Instructions::avx2, storage, rows))
          << name_of(storage) << ", " << rows << " rows";
    }
  }
}

}  // namespace
}  // namespace slora::testing
