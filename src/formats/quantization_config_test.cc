#include "formats/quantization_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "formats/temporary_folder.h"

namespace slora {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Json json_of(const std::string& text) { return parse_json(text).value(); }

std::string description(const std::string& text) {
  const Result<QuantizationConfig> config = parse_quantization_config(json_of(text));
  return config ? config->schemes.front().description() : config.error().code + ": " + config.error().message;
}

constexpr const char* kGptq = R"({"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": false, "sym": true})";
constexpr const char* kAwq = R"({"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": true, "version": "gemm"})";
constexpr const char* kFp8 = R"({"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]})";
constexpr const char* kNf4 = R"({"quant_method": "bitsandbytes", "load_in_4bit": true, "bnb_4bit_quant_type": "nf4"})";
constexpr const char* kCompressed = R"({"quant_method": "compressed-tensors", "format": "pack-quantized", "ignore": ["lm_head"],
    "config_groups": {"group_0": {"targets": ["Linear"], "weights": {"num_bits": 4, "type": "int", "symmetric": true,
    "strategy": "group", "group_size": 128}}}})";

TEST(QuantizationConfig, SaysHowWeightsAreQuantised) {
  EXPECT_EQ(description(kGptq), "4 bits, groups of 128");
  EXPECT_EQ(description(R"({"quant_method": "gptq", "bits": 8, "group_size": -1})"), "8 bits, a scale for each output");
  EXPECT_EQ(description(kAwq), "4 bits, groups of 128");
  EXPECT_EQ(description(R"({"quant_method": "awq", "w_bit": 4, "q_group_size": 64, "version": "GEMM"})"), "4 bits, groups of 64");
  EXPECT_EQ(description(kFp8), "FP8, blocks of 128 x 128");
  EXPECT_EQ(description(R"({"quant_method": "fp8", "activation_scheme": "static"})"), "FP8, a scale for each weight");
  EXPECT_EQ(description(kNf4), "NF4");
  EXPECT_EQ(description(R"({"load_in_4bit": true, "bnb_4bit_quant_type": "nf4"})"), "NF4") << "before there was a method";
  EXPECT_EQ(description(kCompressed), "4 bits, groups of 128");
}

TEST(QuantizationConfig, KnowsTheFormOfZeros) {
  EXPECT_TRUE(parse_quantization_config(json_of(kGptq))->stores_zeros_less_one);
  Json second = json_of(kGptq);
  second["checkpoint_format"] = "gptq_v2";
  EXPECT_FALSE(parse_quantization_config(second)->stores_zeros_less_one);
}

// A change of one of the configs above, and what its refusal says.
struct RefusedChange {
  const char* config;
  const char* path;  // a JSON pointer
  const char* value;
  const char* message;
};

TEST(QuantizationConfig, RefusesWhatIsNotServedByKey) {
  const char* const kWeights = "/config_groups/group_0/weights";
  const RefusedChange changes[] = {
      {kGptq, "/quant_method", R"("aqlm")", R"("quant_method": expected gptq, awq, compressed-tensors, fp8, bitsandbytes, found "aqlm")"},
      {kGptq, "/quant_method", "4", "quant_method"},
      {kGptq, "/bits", "3", R"("bits": expected 4 or 8, found 3)"},
      {kGptq, "/bits", "null", R"("bits": expected an integer, found nothing)"},
      {kGptq, "/group_size", "0", R"("group_size": expected -1, or 1 to 16777216, found 0)"},
      {kGptq, "/group_size", "null", R"("group_size": expected an integer)"},
      {kGptq, "/desc_act", R"("yes")", "desc_act"},
      {kGptq, "/checkpoint_format", R"("marlin")", R"("checkpoint_format": expected gptq or gptq_v2, found "marlin")"},
      {kGptq, "/pack_dtype", R"("int64")", R"("pack_dtype": expected int32, found "int64")"},
      {kGptq, "/dynamic", R"({"+:.*down.*": {"bits": 8}})", R"("dynamic": expected one setting for all modules)"},
      {kGptq, "/rotation_scale", R"("hadamard")", R"("rotation_scale": expected nothing)"},
      {kGptq, "/modules_to_not_convert", R"(["a("])", R"("modules_to_not_convert": )"},
      {kAwq, "/version", R"("gemv")", R"("version": expected gemm, found "gemv")"},
      {kAwq, "/bits", "8", R"("bits": expected 4, found 8)"},
      {kAwq, "/zero_point", "false", R"("zero_point": expected true, found false)"},
      {kAwq, "/backend", R"("llm-awq")", R"("backend": expected autoawq)"},
      {kFp8, "/fmt", R"("e5m2")", R"("fmt": expected e4m3)"},
      {kFp8, "/scale_fmt", R"("ue8m0")", R"("scale_fmt": expected float, found "ue8m0")"},
      {kFp8, "/weight_block_size", "[128]", R"("weight_block_size": expected two sizes, found [128])"},
      {kFp8, "/weight_block_size", "[128, 0]", R"("weight_block_size": expected two sizes)"},
      {kNf4, "/bnb_4bit_quant_type", R"("fp4")", R"("bnb_4bit_quant_type": expected nf4, found "fp4")"},
      {kNf4, "/bnb_4bit_quant_type", "null", R"("bnb_4bit_quant_type": expected nf4, found "fp4")"},
      {kNf4, "/load_in_8bit", "true", R"("load_in_8bit": expected nothing, found true)"},
      {kCompressed, "/config_groups", "{}", R"("config_groups": expected an object of 1 to 64 groups)"},
      {kCompressed, "/config_groups/group_0", "[1]", R"("group_0": expected an object)"},
      {kCompressed, "/format", R"("nvfp4-pack-quantized")", R"("format": expected pack-quantized or int-quantized or float-quantized)"},
      {kCompressed, "/transform_config", R"({"config_groups": {"u": {}}})", R"("transform_config": expected nothing)"},
      {kCompressed, "/sparsity_config", R"({"format": "sparse-24-bitmask"})", R"("sparsity_config": "format": expected dense)"},
      {kCompressed, "/config_groups/group_0/output_activations", R"({"num_bits": 8})", R"("output_activations": expected nothing)"},
      {kCompressed, "/config_groups/group_0/targets", R"(["re:("])", R"("targets": )"},
      {kCompressed, "/config_groups/group_0/weights/num_bits", "2", R"("num_bits": expected 4 or 8, found 2)"},
      {kCompressed, "/config_groups/group_0/weights/type", R"("float")", R"("num_bits": expected 8, found 4)"},
      {kCompressed, "/config_groups/group_0/weights/strategy", R"("token")", R"("strategy": expected tensor or channel or group or block)"},
      {kCompressed, "/config_groups/group_0/weights/strategy", R"("channel")", R"("group_size": expected nothing with "strategy" channel)"},
      {kCompressed, "/config_groups/group_0/weights/group_size", "-2", R"("group_size": expected -1, or 1)"},
      {kCompressed, "/config_groups/group_0/weights/group_size", "-1", R"("group_size": expected 1 to 16777216 with "strategy" group)"},
      {kCompressed, "/config_groups/group_0/weights/dynamic", "true", R"("dynamic": expected nothing, found true)"},
      {kCompressed, "/config_groups/group_0/weights/actorder", R"("row")", R"("actorder": expected group or weight, found "row")"},
      {kCompressed, kWeights, "4", R"("weights": expected an object)"},
  };
  for (const RefusedChange& change : changes) {
    Json config = json_of(change.config);
    config[Json::json_pointer(change.path)] = json_of(change.value);
    const Result<QuantizationConfig> parsed = parse_quantization_config(config);
    ASSERT_FALSE(parsed) << change.path << " " << change.value;
    EXPECT_THAT(parsed.error().message, HasSubstr(change.message)) << change.path << " " << change.value;
  }
}

TEST(QuantizationConfig, SaysThatInputsAreNotRounded) {
  Json config = json_of(kCompressed);
  EXPECT_THAT(parse_quantization_config(config)->warnings, IsEmpty());
  config["config_groups"]["group_0"]["input_activations"] = json_of(R"({"num_bits": 8, "type": "int", "dynamic": true})");
  config["kv_cache_scheme"] = json_of(R"({"num_bits": 8})");
  config["remark"] = "made in a hurry";
  EXPECT_THAT(
      parse_quantization_config(config)->warnings,
      ElementsAre(HasSubstr("\"remark\" is not known"), HasSubstr("\"kv_cache_scheme\" is left out"), HasSubstr("\"input_activations\"")));
}

TEST(QuantizationConfig, IsReadFromEitherKeyOfAModelsConfig) {
  const TemporaryFolder folder;
  folder.write("config.json", "{}");
  EXPECT_FALSE(read_quantization_config(folder.path()).value());
  folder.write("config.json", std::string(R"({"compression_config": )") + kCompressed + "}");
  EXPECT_EQ((*read_quantization_config(folder.path()))->method, QuantMethod::compressed_tensors);
  folder.write("config.json", R"({"quantization_config": 7})");
  EXPECT_EQ(read_quantization_config(folder.path()).error().message,
            "config.json: \"quantization_config\": expected an object, found an integer");
}

}  // namespace
}  // namespace slora
