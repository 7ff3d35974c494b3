#include "cli/runtime_arguments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing/source_path.h"

namespace slora {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

ModelArguments golden_model() {
  ModelArguments arguments;
  arguments.model = source_path("tests/golden/llama2_mha");
  return arguments;
}

TEST(RuntimeArguments, CarryTheOptions) {
  ModelArguments arguments = golden_model();
  arguments.pool_memory = "64MiB";
  arguments.lora_modules = {"a=/adapters/a", "b=relative=path"};
  arguments.weights = "int8";
  arguments.cuda_products = "cublaslt";
  arguments.shards = 2;
  const Result<RuntimeOptions> options = make_runtime_options(arguments);
  ASSERT_TRUE(options) << options.error().message;
  EXPECT_EQ(options->weights, WeightStorage::int8);
  arguments.weights = "int4";
  EXPECT_EQ(make_runtime_options(arguments)->weights, WeightStorage::int4);
  EXPECT_EQ(options->cuda_products, CudaProducts::cublaslt);
  EXPECT_EQ(options->shard_count, 2);
  EXPECT_EQ(options->pool_bytes, std::uint64_t{64} << 20);
  EXPECT_EQ(options->model_name, "llama2_mha");
  EXPECT_THAT(options->named_adapters, ElementsAre(std::pair<std::string, std::filesystem::path>("a", "/adapters/a"),
                                                   std::pair<std::string, std::filesystem::path>("b", "relative=path")));
}

TEST(RuntimeArguments, TakeModulesAsVllmAndSglangWriteThem) {
  ModelArguments arguments = golden_model();
  arguments.lora_modules = {R"({"name": "sql", "path": "/adapters/sql=v3", "base_model_name": "tiny"})",
                            R"({"lora_name": "poems", "lora_path": "/adapters/poems", "pinned": true})", "sql=/adapters/sql=v3"};
  const Result<RuntimeOptions> options = make_runtime_options(arguments);
  ASSERT_TRUE(options) << options.error().message;
  EXPECT_THAT(options->named_adapters, ElementsAre(std::pair<std::string, std::filesystem::path>("sql", "/adapters/sql=v3"),
                                                   std::pair<std::string, std::filesystem::path>("poems", "/adapters/poems")));
  EXPECT_THAT(options->pinned_adapters, ElementsAre("poems"));
  arguments.lora_modules = {"sql=~/adapters/sql"};
  EXPECT_THAT(make_runtime_options(arguments)->named_adapters.at(0).second.string(),
              AllOf(testing::Not(HasSubstr("~")), testing::EndsWith("/adapters/sql")));
  arguments.lora_modules = {R"({"name": "a", "path": "b", "pinned": "yes"})"};
  EXPECT_THAT(make_runtime_options(arguments).error().message, HasSubstr(R"(--lora-modules: "pinned": expected true or false)"));
  for (const char* bad : {R"({"name": "a"})", R"({"name": 1, "path": "b"})", R"({"name": "a", "path": ""})", R"({"name": "a")", "{}",
                          R"({"name": "a", "path": "b", "scale": 2})", "[1]"}) {
    arguments.lora_modules = {bad};
    const Result<RuntimeOptions> refused = make_runtime_options(arguments);
    ASSERT_FALSE(refused) << bad;
    EXPECT_THAT(refused.error().message, HasSubstr("--lora-modules: expected"));
  }
}

TEST(RuntimeArguments, TakeNamesThatJsonAndMetricsCanCarry) {
  ModelArguments arguments = golden_model();
  arguments.served_model_names = {"mod\xc3\xa8le"};
  EXPECT_TRUE(make_runtime_options(arguments));
  for (const char* name : {"", "mod\xe8le"}) {
    arguments.served_model_names = {"good", name};
    const Result<RuntimeOptions> options = make_runtime_options(arguments);
    ASSERT_FALSE(options);
    EXPECT_THAT(options.error().message, HasSubstr("--served-model-name"));
  }
}

TEST(RuntimeArguments, LimitTheInstructions) {
  ModelArguments arguments = golden_model();
  EXPECT_EQ(make_runtime_options(arguments)->instructions, Instructions::best);
  arguments.instructions = "avx2";
  EXPECT_EQ(make_runtime_options(arguments)->instructions, Instructions::avx2);
}

TEST(RuntimeArguments, NameTheOptionAtFault) {
  ModelArguments arguments = golden_model();
  arguments.pool_memory = "much";
  EXPECT_THAT(make_runtime_options(arguments).error().message, HasSubstr("--pool-memory"));
  arguments = golden_model();
  arguments.lora_modules = {"no path"};
  EXPECT_THAT(make_runtime_options(arguments).error().message, HasSubstr("--lora-modules"));
  arguments.lora_modules = {"a=/one", "b=/two", "a=/three"};
  EXPECT_THAT(make_runtime_options(arguments).error().message, HasSubstr("\"a\" is given twice"));
  arguments = golden_model();
  arguments.weights = "int3";
  EXPECT_THAT(make_runtime_options(arguments).error().message, HasSubstr("--weights: expected bf16, int8, int4 or nf4-dequantised"));
  arguments = golden_model();
  arguments.cuda_products = "cublas";
  EXPECT_THAT(make_runtime_options(arguments).error().message, HasSubstr("--cuda-products"));
  arguments = golden_model();
  arguments.page_tokens = 12;
  EXPECT_THAT(make_runtime_options(arguments).error().message, HasSubstr("--page-tokens"));
  arguments = golden_model();
  arguments.policy = "lifo";
  EXPECT_THAT(make_runtime_options(arguments).error().message, AllOf(HasSubstr("--policy"), HasSubstr("fcfs")));
  for (const char* policy : {"fcfs", "deadline"}) {
    arguments = golden_model();
    arguments.policy = policy;
    arguments.adapter_group_max = 4;
    EXPECT_THAT(make_runtime_options(arguments).error().message, AllOf(HasSubstr("--adapter-group-max"), HasSubstr(policy)));
  }
  arguments = golden_model();
  arguments.first_token_slo_seconds = 1;
  EXPECT_THAT(make_runtime_options(arguments).error().message, HasSubstr("--first-token-slo"));
  arguments = golden_model();
  arguments.first_token_reward = "attainment";
  EXPECT_THAT(make_runtime_options(arguments).error().message, HasSubstr("--first-token-reward"));
  arguments = golden_model();
  arguments.policy = "adapter-grouped";
  arguments.adapter_group_memory = "much";
  EXPECT_THAT(make_runtime_options(arguments).error().message, HasSubstr("--adapter-group-memory"));
  arguments.model = "/nowhere";
  EXPECT_THAT(make_runtime_options(arguments).error().message, HasSubstr("--model"));
}

TEST(RuntimeArguments, SetsThePolicyThatIsChosen) {
  ModelArguments arguments = golden_model();
  arguments.policy = "adapter-grouped";
  EXPECT_EQ(make_runtime_options(arguments)->policy.adapter_group.adapters_max, 8u);
  arguments.adapter_group_max = 3;
  arguments.adapter_group_memory = "1MiB";
  arguments.adapter_wait_seconds = 0.5;
  const RuntimeOptions grouped = make_runtime_options(arguments).value();
  EXPECT_EQ(grouped.policy.adapter_group.adapters_max, 3u);
  EXPECT_EQ(grouped.policy.adapter_group.wait_max, std::chrono::milliseconds(500));
  EXPECT_EQ(grouped.adapter_group_bytes, std::uint64_t{1} << 20);
  arguments.adapter_group_max = 0;
  EXPECT_EQ(make_runtime_options(arguments)->policy.adapter_group.adapters_max, kAnyAdapterCount);
  arguments = golden_model();
  arguments.policy = "deadline";
  EXPECT_EQ(make_runtime_options(arguments)->policy.deadlines.first_token_slo, std::chrono::seconds(6));
  arguments.first_token_slo_seconds = 1.5;
  EXPECT_EQ(make_runtime_options(arguments)->policy.deadlines.first_token_slo, std::chrono::milliseconds(1500));
  EXPECT_EQ(make_runtime_options(arguments)->policy.deadlines.reward, FirstTokenReward::satisfaction);
  arguments.first_token_reward = "attainment";
  EXPECT_EQ(make_runtime_options(arguments)->policy.deadlines.reward, FirstTokenReward::attainment);
}

TEST(RuntimeArguments, TheModelAnswersToItsFolderUnlessNamed) {
  ModelArguments arguments;
  arguments.model = "/models/base";
  EXPECT_THAT(model_names_of(arguments), ElementsAre("base", "/models/base"));
  arguments.served_model_names = {"my-model"};
  EXPECT_THAT(model_names_of(arguments), ElementsAre("my-model"));
  arguments.served_model_names = {"my-model", "other", "my-model"};
  EXPECT_THAT(model_names_of(arguments), ElementsAre("my-model", "other"));
}

}  // namespace
}  // namespace slora
