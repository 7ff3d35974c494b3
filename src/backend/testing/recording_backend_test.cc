#include "backend/testing/recording_backend.h"

#include <gmock/gmock.h>

#include "backend/testing/op_fixture.h"

namespace slora::testing {
namespace {

TEST(RecordingBackend, ListsCallsAndStillComputes) {
  RecordingBackend backend(open({"reference", "reference"}));
  const Matrix x(backend, DType::f32, 2, 3);
  backend.ops().fill(x, 2.0f);
  backend.ops().rms_norm(x, x, backend.make_vector(std::vector<float>{1, 1, 1}).view(), 0, {}, kOutputNormSite);
  EXPECT_THAT(values_of(x), ::testing::Each(1.0f));
  ASSERT_EQ(backend.ops().calls().size(), 2u);
  EXPECT_EQ(backend.ops().calls()[1].op, "rms_norm");
  EXPECT_EQ(backend.ops().calls()[1].rows, 2);
}

TEST(CreateBackend, RefusesUnknownNamesWithTheList) {
  const Result<std::unique_ptr<Backend>> backend = create_backend("tpu", {});
  ASSERT_FALSE(backend.has_value());
  EXPECT_THAT(backend.error().message, ::testing::AllOf(::testing::HasSubstr("tpu"), ::testing::HasSubstr("reference")));
}

}  // namespace
}  // namespace slora::testing
