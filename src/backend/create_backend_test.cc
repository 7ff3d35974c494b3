#include <gmock/gmock.h>

#include <fstream>

#include "backend/backends.h"
#include "backend/device_module.h"
#include "base/testing/source_path.h"

namespace slora {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;

// The error of a backend that must be refused.
Error error_of(const Result<std::unique_ptr<Backend>>& refused) { return refused ? Error{"none", "was not refused", {}} : refused.error(); }

TEST(CreateBackend, TakesTheCpuWhereThereIsNoModule) {
  EXPECT_THAT(device_module_path("cuda"), EndsWith("/lib/slora/slora_cuda.so"));
  for (const auto& made : {create_best_backend("/nowhere/slora_cuda.so", {.threads = 1}), create_backend("auto", {.threads = 1})}) {
    ASSERT_TRUE(made);
    EXPECT_EQ((*made)->name(), "cpu");
  }
}

TEST(CreateBackend, SaysWhereItLookedForAModuleAndHowToBuildOne) {
  const Error refused = error_of(create_cuda_backend("/nowhere/slora_cuda.so", {}));
  EXPECT_EQ(refused.code, "E_BACKEND");
  EXPECT_THAT(refused.message,
              AllOf(HasSubstr("--backend: cuda: "), HasSubstr("/nowhere/slora_cuda.so"), HasSubstr("cmake --preset cuda")));
}

TEST(CreateBackend, RefusesOptionsThatCudaDoesNotServeBeforeItLooksForAModule) {
  EXPECT_EQ(error_of(create_cuda_backend("/nowhere", {.weights = WeightStorage::int8})).code, "E_WEIGHTS");
  EXPECT_THAT(error_of(create_cuda_backend("/nowhere", {.weights = WeightStorage::int4})).message, HasSubstr("for int4"));
  EXPECT_EQ(error_of(create_cuda_backend("/nowhere", {.shard_count = 2})).code, "E_SHARDS");
}

TEST(CreateBackend, RefusesAFileThatIsNoLibrary) {
  const std::string path = source_path("README.md");
  const Error refused = error_of(create_cuda_backend(path, {}));
  EXPECT_EQ(refused.code, "E_BACKEND");
  EXPECT_THAT(refused.message, HasSubstr(path));
  EXPECT_EQ((*create_best_backend(path, {.threads = 1}))->name(), "cpu");
}

#ifdef SLORA_MADE_MODULES
std::string made_module(std::string_view name) { return fmt::format("{}/made_module_{}.so", SLORA_MADE_MODULES, name); }

TEST(CreateBackend, TakesTheModulesBackendWhereItsDeviceAnswers) {
  for (const auto& made : {create_cuda_backend(made_module("device"), {}), create_best_backend(made_module("device"), {})}) {
    ASSERT_TRUE(made) << made.error().message;
    EXPECT_EQ((*made)->name(), "reference");
  }
}

TEST(CreateBackend, AutoTakesTheCpuWhereTheModuleCannotServe) {
  for (const char* name : {"no_device", "other_build"}) {
    EXPECT_EQ((*create_best_backend(made_module(name), {.threads = 1}))->name(), "cpu") << name;
  }
  const auto in_bytes = create_best_backend(made_module("device"), {.threads = 1, .weights = WeightStorage::int8});
  EXPECT_EQ((*in_bytes)->name(), "cpu");
  EXPECT_EQ((*create_best_backend(made_module("device"), {.threads = 2, .shard_count = 2}))->name(), "cpu");
}

TEST(CreateBackend, TellsWhyAModuleCannotServe) {
  const Error silent = error_of(create_cuda_backend(made_module("no_device"), {}));
  EXPECT_EQ(silent.code, "E_DEVICE");
  EXPECT_EQ(silent.message, "--backend: cuda: no device answers");
  const Error other = error_of(create_cuda_backend(made_module("other_build"), {}));
  EXPECT_EQ(other.code, "E_BACKEND");
  EXPECT_THAT(other.message, AllOf(HasSubstr(made_module("other_build")), HasSubstr(std::string(build_id())), HasSubstr("another build")));
}
#endif

}  // namespace
}  // namespace slora
