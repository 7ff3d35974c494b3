#include "formats/adapter_config.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/testing/source_path.h"
#include "formats/adapter_config_keys.h"
#include "formats/temporary_folder.h"

namespace slora {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Json sample(const std::string& name) {
  const Result<Json> json = read_json_file(source_path("tests/corpora/adapter_config/" + name + ".json"));
  EXPECT_TRUE(json) << name;
  return *json;
}
AdapterConfig parsed(const std::string& name) {
  Result<AdapterConfig> config = parse_adapter_config(sample(name));
  EXPECT_TRUE(config) << name << ": " << (config ? "" : config.error().message);
  return std::move(*config);
}
// The result of reading PEFT's plain config with one key changed.
std::string refusal(std::string_view key, std::string_view value) {
  Json json = sample("plain");
  json[std::string(key)] = *parse_json(value);
  const Result<AdapterConfig> config = parse_adapter_config(json);
  return config ? "accepted" : config.error().code + ": " + config.error().message;
}

TEST(AdapterConfig, ReadsWhatPeftWrites) {
  const AdapterConfig plain = parsed("plain");
  EXPECT_EQ(plain.family, AdapterFamily::lora);
  EXPECT_EQ(plain.task_type, "CAUSAL_LM");
  EXPECT_EQ(plain.r, 8);
  EXPECT_EQ(plain.lora_alpha, 16.0);
  EXPECT_FALSE(plain.use_rslora || plain.use_dora || plain.lora_bias);
  EXPECT_EQ(plain.bias, AdapterBias::none);
  EXPECT_THAT(plain.target_modules, ElementsAre("q_proj"));
  EXPECT_EQ(plain.init_lora_weights, "true");
  EXPECT_EQ(plain.base_model_name, "tiny/base");
  EXPECT_EQ(plain.peft_version, "0.21.2");
  EXPECT_TRUE(plain.warnings.empty());
  EXPECT_EQ(parsed("old_peft").peft_version, "");

  const AdapterConfig biases = parsed("biases");
  EXPECT_EQ(biases.bias, AdapterBias::all);
  EXPECT_TRUE(biases.lora_bias);
  EXPECT_THAT(biases.layers_to_transform, ElementsAre(0, 2));
  EXPECT_THAT(biases.modules_to_save, ElementsAre("norm"));
}

TEST(AdapterConfig, ScalesByTheFirstPatternThatMatches) {
  const AdapterConfig config = parsed("patterns");
  ASSERT_EQ(config.rank_pattern.size(), 3u);
  EXPECT_EQ(config.rank_pattern[0].pattern.key(), "layers.0.self_attn.q_proj");
  EXPECT_EQ(*config.rank_of("model.layers.0.self_attn.q_proj"), 4);
  EXPECT_EQ(*config.rank_of("model.layers.1.self_attn.q_proj"), 2);
  EXPECT_EQ(*config.rank_of("model.layers.1.self_attn.k_proj"), 8);
  EXPECT_EQ(*config.rank_of("model.layers.2.mlp.down_proj"), 16);
  EXPECT_EQ(*config.rank_of("model.layers.12.mlp.down_proj"), 8);
  EXPECT_EQ(*config.alpha_of("model.layers.0.mlp.down_proj"), 3.5);
  EXPECT_DOUBLE_EQ(*config.scale_of("model.layers.2.mlp.down_proj"), 3.5 / 4.0);
  EXPECT_DOUBLE_EQ(*config.scale_of("model.layers.1.self_attn.q_proj"), 16.0 / std::sqrt(2.0));
  EXPECT_DOUBLE_EQ(*parsed("plain").scale_of("model.layers.1.self_attn.q_proj"), 2.0);
}

TEST(AdapterConfig, WarnsOfPatternsOfUnknownVersions) {
  Json json = sample("patterns");
  json.erase("peft_version");
  EXPECT_EQ(parse_adapter_config(json)->warnings.size(), 1u);
}

TEST(AdapterConfig, RefusesOtherKindsOfAdapters) {
  EXPECT_EQ(refusal("peft_type", "\"LOKR\""),
            "E_PEFT_TYPE: \"peft_type\": expected one of LORA, ADALORA, LOHA, VBLORA, IA3, VERA, HIRA, FLORA, SHIRA, LN_TUNING, "
            "TRAINABLE_TOKENS, found \"LOKR\"");
  EXPECT_THAT(refusal("peft_type", "null"), HasSubstr("E_PEFT_TYPE"));
  EXPECT_THAT(refusal("peft_type", "1"), HasSubstr("E_BAD_JSON"));
  EXPECT_THAT(refusal("task_type", "\"SEQ_CLS\""), HasSubstr("E_TASK"));
  EXPECT_EQ(refusal("task_type", "null"), "accepted");
}

TEST(AdapterConfig, RefusesOptionsThatChangeTheNumbersByName) {
  for (const auto& [key, value] :
       {std::pair("use_qalora", "true"), std::pair("layer_replication", "[[0,4]]"),
        std::pair("alora_invocation_tokens", "[]"), std::pair("alora_invocation_tokens", "[-1]"),
        std::pair("alora_invocation_tokens", "\"ab\""), std::pair("kasa_config", R"({"a":1})"),
        std::pair("monteclora_config", R"({"a":1})"), std::pair("arrow_config", R"({"a":1})"), std::pair("use_bdlora", R"({"a":1})"),
        std::pair("use_xyz", "true"), std::pair("enable_lora", "[true,false,true]"), std::pair("model_key_mapping", R"({"a":"b"})"),
        std::pair("bias", "\"some\""), std::pair("megatron_config", R"({"a":1})")}) {
    const std::string message = refusal(key, value);
    EXPECT_THAT(message, HasSubstr("E_UNSUPPORTED_OPTION")) << key;
    EXPECT_THAT(message, HasSubstr(key));
  }
}

TEST(AdapterConfig, IgnoresKeysThatAreOffOrMatterInTrainingOnly) {
  for (const auto& [key, value] :
       {std::pair("use_xyz", "false"), std::pair("new_thing", "null"), std::pair("other", "{}"), std::pair("number", "0"),
        std::pair("velora_config", R"({"a":1})"), std::pair("lora_dropout", "0.3"), std::pair("attention_dropout", "0.3"),
        std::pair("eva_config", R"({"rho":2})"), std::pair("fan_in_fan_out", "true"), std::pair("exclude_modules", "\".*lm_head\""),
        std::pair("layers_pattern", "\"layers\""), std::pair("layers_to_transform", "3")}) {
    EXPECT_EQ(refusal(key, value), "accepted") << key;
  }
}

TEST(AdapterConfig, ReadsWhatEveryVersionOfPeftAndOtherTrainersWrite) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(source_path("tests/golden/configs"))) {
    if (entry.path().extension() != ".json") continue;
    ++count;
    const Result<Json> json = read_json_file(entry.path().string());
    ASSERT_TRUE(json) << entry.path();
    for (const auto& [key, value] : json->get_ref<const Json::object_t&>()) {
      EXPECT_TRUE(is_known_adapter_key(key)) << entry.path() << ": " << key;
    }
    const Result<AdapterConfig> config = parse_adapter_config(*json);
    ASSERT_TRUE(config) << entry.path() << ": " << config.error().message;
    EXPECT_TRUE(config->warnings.empty()) << entry.path() << ": " << config->warnings.front();
    EXPECT_EQ(*config->scale_of("model.layers.0.self_attn.q_proj"), 2.0) << entry.path();
  }
  EXPECT_GE(count, 19 + 6) << "a version of PEFT for each minor release, and trainers";
}

TEST(AdapterConfig, LeavesOutUnknownKeysWithAWarningAsPeftDoes) {
  for (const auto& [key, value] : {std::pair("lora_start_config", R"({"steps":4})"), std::pair("new_thing", "2.5"),
                                   std::pair("trained_by", "\"someone\""), std::pair("steps", "[1,2]"), std::pair("use_case", "\"sql\"")}) {
    Json json = sample("plain");
    json[key] = *parse_json(value);
    const Result<AdapterConfig> config = parse_adapter_config(json);
    ASSERT_TRUE(config) << key << ": " << config.error().message;
    EXPECT_THAT(config->warnings, ElementsAre(HasSubstr(key))) << key;
  }
}

TEST(AdapterConfig, RefusesUnknownKeysThatSuggestOtherResults) {
  for (const auto& [key, value] : {std::pair("dora_simple", "true"), std::pair("lora_scaling_mode", "\"sqrt\""),
                                   std::pair("alpha_schedule", "[1]"), std::pair("adaptive_rank", "4"), std::pair("weightNorm", "true"),
                                   std::pair("block_size", "16"), std::pair("quantization", "\"nf4\""), std::pair("variant", "\"DoRA\""),
                                   std::pair("extra", R"({"lokr":{"a":1}})"), std::pair("rotation", "0.5")}) {
    EXPECT_THAT(refusal(key, value), AllOf(HasSubstr("E_UNSUPPORTED_OPTION"), HasSubstr(key), HasSubstr("suggests"))) << key;
  }
}

TEST(AdapterConfig, RefusesInitializationsThatChangedTheBase) {
  for (const std::string_view value : {"\"pissa_niter_16\"", "\"PiSSA\"", "\"corda\"", "\"loftq\"", "\"something\""}) {
    EXPECT_THAT(refusal("init_lora_weights", value), HasSubstr("E_BASE_MUTATED")) << value;
  }
  for (const std::string_view value : {"true", "false", "null", "\"gaussian\"", "\"orthogonal\"", "\"eva\"", "\"mica\"", "\"lora_ga\""}) {
    EXPECT_EQ(refusal("init_lora_weights", value), "accepted") << value;
  }
  EXPECT_THAT(refusal("init_lora_weights", "3"), HasSubstr("E_BAD_JSON"));
}

TEST(AdapterConfig, RefusesScalesAndRanksThatCantBe) {
  EXPECT_THAT(refusal("r", "0"), HasSubstr("E_SCALE"));
  EXPECT_THAT(refusal("r", "null"), HasSubstr("E_SCALE"));
  EXPECT_THAT(refusal("lora_alpha", "null"), HasSubstr("E_SCALE"));
  EXPECT_THAT(refusal("r", "-1"), HasSubstr("E_RANK"));
  EXPECT_THAT(refusal("r", "18446744073709551615"), HasSubstr("E_RANK"));
  EXPECT_THAT(refusal("r", "8.0"), HasSubstr("E_BAD_JSON"));
  EXPECT_THAT(refusal("lora_alpha", "\"16\""), HasSubstr("E_BAD_JSON"));
  EXPECT_EQ(refusal("lora_alpha", "22.627416997969522"), "accepted");
  EXPECT_THAT(refusal("rank_pattern", R"({"q_proj":0})"), HasSubstr("E_SCALE: \"rank_pattern\": \"q_proj\""));
  EXPECT_THAT(refusal("rank_pattern", R"({"q_proj":[true]})"), HasSubstr("E_BAD_JSON"));
  EXPECT_THAT(refusal("alpha_pattern", R"({"q_proj":"x"})"), HasSubstr("E_BAD_JSON"));
  EXPECT_THAT(refusal("rank_pattern", "[1]"), HasSubstr("E_BAD_JSON"));
}

// The result of reading a config of another family, of a rank where it has one.
Result<AdapterConfig> parsed_of(const std::string& type, const std::string& members) {
  return parse_adapter_config(*parse_json(R"({"peft_type": ")" + type + "\"" + members + "}"));
}
std::string refusal_of(const std::string& type, const std::string& members) {
  const Result<AdapterConfig> config = parsed_of(type, members);
  return config ? "accepted" : config.error().code + ": " + config.error().message;
}

TEST(AdapterConfig, ReadsWhatIa3Multiplies) {
  const std::string path = "model.layers.0.mlp.down_proj";
  const auto is_feedforward = [&](const std::string& modules) {
    return *parsed_of("IA3", R"(, "init_ia3_weights": true, "fan_in_fan_out": false, "feedforward_modules": )" + modules)
                ->is_feedforward(path);
  };
  EXPECT_EQ(is_feedforward(R"(["k_proj", "down_proj"])"), true);
  EXPECT_EQ(is_feedforward(R"(["own_proj"])"), true) << "PEFT compares ends without a dot";
  EXPECT_EQ(is_feedforward(R"(["down"])"), false);
  EXPECT_EQ(is_feedforward("[]"), false);
  EXPECT_EQ(is_feedforward(R"(".*\\.(up|down)_proj")"), true);
  EXPECT_EQ(is_feedforward(R"("down_proj")"), false) << "an expression must match the whole path";
  EXPECT_EQ(is_feedforward("null"), std::nullopt);
  EXPECT_THAT(refusal_of("IA3", R"(, "feedforward_modules": 7)"),
              AllOf(HasSubstr("E_BAD_JSON"), HasSubstr("expected an expression or a list of names, found 7")));
  EXPECT_THAT(refusal_of("IA3", R"(, "feedforward_modules": ["a", 3])"), HasSubstr("E_BAD_JSON"));
  EXPECT_THAT(refusal_of("IA3", R"(, "feedforward_modules": "(")"), AllOf(HasSubstr("E_PATTERN"), HasSubstr("feedforward_modules")));
  EXPECT_THAT(refusal_of("IA3", R"(, "bias": "all")"), AllOf(HasSubstr("E_UNSUPPORTED_OPTION"), HasSubstr("IA3")));
  EXPECT_THAT(refusal_of("IA3", R"(, "lora_alpha": 3)"), AllOf(HasSubstr("E_UNSUPPORTED_OPTION"), HasSubstr("lora_alpha")));
}

TEST(AdapterConfig, ReadsWhichRandomNumbersVeraMeans) {
  const AdapterConfig plain = *parsed_of("VERA", "");
  EXPECT_EQ(plain.r, 256) << "PEFT's default";
  EXPECT_TRUE(plain.saves_projection);
  EXPECT_EQ(plain.projection_key, 0);
  const AdapterConfig drawn =
      *parsed_of("VERA", R"(, "r": 4, "save_projection": false, "projection_prng_key": -5, "d_initial": 0.1, "vera_dropout": 0.5)");
  EXPECT_EQ(drawn.r, 4);
  EXPECT_FALSE(drawn.saves_projection);
  EXPECT_EQ(drawn.projection_key, -5);
  const auto seed_of = [](const std::string& key) {
    return static_cast<std::uint32_t>(parsed_of("VERA", R"(, "projection_prng_key": )" + key)->projection_key);
  };
  EXPECT_EQ(seed_of("1099511627783"), 7u);
  EXPECT_EQ(seed_of("18446744073709551613"), 0xfffffffdu);
  EXPECT_EQ(seed_of("-9223372036854775808"), 0u);
  for (const char* key : {"0.5", "true", "\"1\"", "18446744073709551616", "[1]"}) {
    EXPECT_THAT(refusal_of("VERA", std::string(R"(, "projection_prng_key": )") + key),
                AllOf(HasSubstr("E_BAD_JSON"), HasSubstr("projection_prng_key")))
        << key;
  }
  EXPECT_EQ(parsed_of("VERA", R"(, "bias": "vera_only")")->bias, AdapterBias::lora_only);
  EXPECT_THAT(refusal_of("VERA", R"(, "bias": "lora_only")"), AllOf(HasSubstr("E_UNSUPPORTED_OPTION"), HasSubstr("vera_only")));
  EXPECT_THAT(refusal_of("VERA", R"(, "r": 513)"), HasSubstr("E_RANK"));
  EXPECT_THAT(refusal_of("VERA", R"(, "r": 0)"), HasSubstr("E_SCALE"));
  EXPECT_THAT(refusal_of("VERA", R"(, "rank_pattern": {"q_proj": 3})"),
              AllOf(HasSubstr("E_UNSUPPORTED_OPTION"), HasSubstr("rank_pattern")));
}

TEST(AdapterConfig, ReadsRanksAndScaleOfHiraAndFlora) {
  const AdapterConfig hira = *parsed_of("HIRA", R"(, "rank_pattern": {"q_proj": 3}, "init_weights": "gaussian", "hira_dropout": 0.1)");
  EXPECT_EQ(*hira.rank_of("model.layers.0.self_attn.q_proj"), 3);
  EXPECT_EQ(*hira.rank_of("model.layers.0.self_attn.k_proj"), 32) << "PEFT's default";
  const AdapterConfig flora = *parsed_of("FLORA", R"(, "r": 2, "flora_scale": 0.5)");
  EXPECT_EQ(flora.r, 2);
  EXPECT_EQ(flora.flora_scale, 0.5);
  EXPECT_EQ(parsed_of("FLORA", R"(, "r": 2)")->flora_scale, 1);
  EXPECT_THAT(refusal_of("FLORA", ""), HasSubstr("E_SCALE"));
  EXPECT_THAT(refusal_of("FLORA", R"(, "r": 2, "flora_scale": "1")"), AllOf(HasSubstr("E_BAD_JSON"), HasSubstr("flora_scale")));
  for (const char* type : {"HIRA", "FLORA"}) {
    EXPECT_THAT(refusal_of(type, R"(, "r": 2, "bias": "all")"), AllOf(HasSubstr("E_UNSUPPORTED_OPTION"), HasSubstr("bias"))) << type;
    EXPECT_THAT(refusal_of(type, R"(, "r": 2, "use_rslora": true)"), HasSubstr("E_UNSUPPORTED_OPTION")) << type;
  }
}

TEST(AdapterConfig, KnowsInitializationsThatCanBeComputedAgain) {
  const auto init_of = [](const std::string& scheme) {
    return parsed_of("LORA", R"(, "r": 4, "lora_alpha": 6, "init_lora_weights": ")" + scheme + "\"")->subtracted_init;
  };
  EXPECT_EQ(init_of("pissa"), SubtractedInit::pissa);
  EXPECT_EQ(init_of("olora"), SubtractedInit::olora);
  EXPECT_EQ(init_of("OLoRA"), SubtractedInit::olora);
  EXPECT_EQ(init_of("gaussian"), std::nullopt);
  EXPECT_THAT(refusal_of("LORA", R"(, "r": 4, "lora_alpha": 6, "init_lora_weights": "olora", "alora_invocation_tokens": [3])"),
              AllOf(HasSubstr("E_UNSUPPORTED_OPTION"), HasSubstr("olora"), HasSubstr("alora_invocation_tokens")));
}

TEST(AdapterConfig, TakesTheTokensWhoseRowsAreTrained) {
  EXPECT_THAT(parsed_of("TRAINABLE_TOKENS", R"(, "token_indices": [7, 2], "init_weights": true)")->token_indices, ElementsAre(7, 2));
  const AdapterConfig adalora = *parsed_of("ADALORA", R"(, "lora_alpha": 8, "trainable_token_indices": {"lm_head": [4]})");
  ASSERT_EQ(adalora.trained_tokens.size(), 1u);
  EXPECT_EQ(adalora.trained_tokens[0].first, "lm_head");
  const auto refusal_with = [](const std::string& list) { return refusal_of("TRAINABLE_TOKENS", R"(, "token_indices": )" + list); };
  for (const char* list : {"3", R"("ab")", "[1.5]", R"(["3"])", R"({"a": [3]})"})
    EXPECT_THAT(refusal_with(list), HasSubstr("E_BAD_JSON")) << list;
  for (const char* list : {"[]", "null", "[-1]", "[2147483648]", "[4, 4]"}) EXPECT_THAT(refusal_with(list), HasSubstr("E_INDEX")) << list;
  EXPECT_THAT(refusal("trainable_token_indices", R"({"a": 3})"), HasSubstr("E_BAD_JSON"));
  EXPECT_THAT(refusal("trainable_token_indices", "[-1]"), HasSubstr("E_INDEX"));
}

TEST(AdapterConfig, BoundsPatterns) {
  EXPECT_THAT(refusal("rank_pattern", R"({"(":4})"), HasSubstr("E_PATTERN: \"rank_pattern\""));
  Json many(Json::value_t::object);
  for (int i = 0; i < 65; ++i) many["layers\\." + std::to_string(i)] = 4;
  EXPECT_THAT(refusal("rank_pattern", many.dump()), HasSubstr("at most 64 keys that are regular expressions"));
  Json plain(Json::value_t::object);
  for (int i = 0; i < 448; ++i) plain["layers." + std::to_string(i)] = 4;
  EXPECT_EQ(refusal("alpha_pattern", plain.dump()), "accepted");
}

TEST(AdapterConfig, CountsTheRanksThatAdaloraKeeps) {
  const AdapterConfig config = *parsed_of("ADALORA", R"(, "lora_alpha": -1, "init_r": 3, "r": 0, "target_r": 2, "tinit": 5, "deltaT": 10,
      "beta1": 0.85, "orth_reg_weight": 0.5, "use_rslora": true, "init_lora_weights": "pissa", "bias": "lora_only", "rank_pattern": {
        "model.layers.0.self_attn.q_proj.lora_E": [true, false, true], "model.layers.1.self_attn.q_proj.lora_E.default": [false, false, false]})");
  EXPECT_EQ(config.init_r, 3);
  EXPECT_EQ(config.r, 3) << "which listings show";
  EXPECT_EQ(config.lora_alpha, -1);
  EXPECT_EQ(config.bias, AdapterBias::lora_only);
  EXPECT_THAT(config.kept_ranks,
              ElementsAre(std::pair("model.layers.0.self_attn.q_proj", 2), std::pair("model.layers.1.self_attn.q_proj", 0)));
  EXPECT_TRUE(config.warnings.empty());
  EXPECT_EQ(parsed_of("ADALORA", R"(, "lora_alpha": 8)")->init_r, 12) << "PEFT's default";
  const auto refusal_with = [](const std::string& member) { return refusal_of("ADALORA", R"(, "lora_alpha": 8, "init_r": 3, )" + member); };
  EXPECT_EQ(refusal_with(R"("rank_pattern": null)"), "accepted");
  EXPECT_EQ(refusal_with(R"("rank_pattern": {})"), "accepted");
  EXPECT_THAT(refusal_with(R"("rank_pattern": [3])"), HasSubstr("E_BAD_JSON"));
  for (const char* masks :
       {R"({"q_proj": 2})", R"({"q_proj.lora_E": 2})", R"({"q_proj.lora_E": [1, 0, 1]})", R"({"q_proj": [true, true, true]})",
        R"({".lora_E": [true, true, true]})", R"({"q_proj.lora_E.a.b": [true, true, true]})"}) {
    EXPECT_THAT(refusal_with(std::string(R"("rank_pattern": )") + masks), AllOf(HasSubstr("E_BAD_JSON"), HasSubstr("lora_E"))) << masks;
  }
  EXPECT_THAT(refusal_with(R"("rank_pattern": {"q_proj.lora_E": [true, true]})"), AllOf(HasSubstr("E_RANK"), HasSubstr("init_r")));
  for (const char* member : {R"("use_dora": true)", R"("loftq_config": {"loftq_bits": 4})", R"("alora_invocation_tokens": [3])",
                             R"("layer_replication": [[0, 2]])", R"("bias": "some")"}) {
    EXPECT_THAT(refusal_with(member), HasSubstr("E_UNSUPPORTED_OPTION")) << member;
  }
  EXPECT_THAT(refusal_with(R"("init_lora_weights": "loftq")"), HasSubstr("E_BASE_MUTATED"));
  EXPECT_THAT(refusal_of("ADALORA", R"(, "init_r": 3)"), AllOf(HasSubstr("E_SCALE"), HasSubstr("lora_alpha")));
  EXPECT_THAT(refusal_of("ADALORA", R"(, "lora_alpha": 8, "init_r": 0)"), AllOf(HasSubstr("E_RANK"), HasSubstr("init_r")));
}

TEST(AdapterConfig, ReadsRankAndScaleOfLoha) {
  const AdapterConfig config = *parsed_of("LOHA", R"(, "r": 4, "alpha": 6, "rank_dropout": 0.1, "module_dropout": 0.1, "init_weights": true,
      "use_effective_conv2d": true, "rank_pattern": {"q_proj": 2}, "alpha_pattern": {"k_proj": 5}, "peft_version": "0.21.2")");
  EXPECT_EQ(*config.scale_of("model.layers.0.self_attn.v_proj"), 1.5);
  EXPECT_EQ(*config.scale_of("model.layers.0.self_attn.q_proj"), 3.0);
  EXPECT_EQ(*config.scale_of("model.layers.0.self_attn.k_proj"), 1.25);
  EXPECT_TRUE(config.warnings.empty());
  EXPECT_THAT(refusal_of("LOHA", R"(, "r": 4)"), AllOf(HasSubstr("E_SCALE"), HasSubstr("\"alpha\"")));
  EXPECT_THAT(refusal_of("LOHA", R"(, "alpha": 4)"), HasSubstr("E_SCALE"));
  for (const char* member : {R"("lora_alpha": 4)", R"("bias": "all")", R"("use_dora": true)"}) {
    EXPECT_THAT(refusal_of("LOHA", std::string(R"(, "r": 4, "alpha": 6, )") + member), HasSubstr("E_UNSUPPORTED_OPTION")) << member;
  }
}

TEST(AdapterConfig, ReadsTheBankOfVblora) {
  const AdapterConfig plain = *parsed_of("VBLORA", "");
  EXPECT_EQ(plain.r, 4) << "PEFT's defaults";
  EXPECT_EQ(plain.vector_count, 256);
  EXPECT_EQ(plain.vector_length, 256);
  EXPECT_EQ(plain.vectors_per_tile, 2);
  EXPECT_FALSE(plain.saves_top_weights);
  const AdapterConfig config = *parsed_of("VBLORA", R"(, "r": 2, "num_vectors": 90, "vector_length": 64, "topk": 3, "vblora_dropout": 0.1,
      "save_only_topk_weights": true, "init_vector_bank_bound": 0.02, "init_logits_std": 0.1, "bias": "vblora_only")");
  EXPECT_EQ(config.r, 2);
  EXPECT_EQ(config.vector_count, 90);
  EXPECT_EQ(config.vector_length, 64);
  EXPECT_EQ(config.vectors_per_tile, 3);
  EXPECT_TRUE(config.saves_top_weights);
  EXPECT_EQ(config.bias, AdapterBias::lora_only);
  for (const auto& [key, code] :
       {std::pair("num_vectors", "E_INDEX"), std::pair("vector_length", "E_SHAPE"), std::pair("topk", "E_INDEX")}) {
    for (const char* value : {"0", "-1", "16777217", "18446744073709551615"}) {
      EXPECT_THAT(refusal_of("VBLORA", std::string(", \"") + key + "\": " + value), AllOf(HasSubstr(code), HasSubstr(key))) << value;
    }
    EXPECT_THAT(refusal_of("VBLORA", std::string(", \"") + key + "\": 2.5"), AllOf(HasSubstr("E_BAD_JSON"), HasSubstr(key)));
  }
  EXPECT_THAT(refusal_of("VBLORA", R"(, "save_only_topk_weights": 1)"), HasSubstr("E_BAD_JSON"));
  for (const char* member : {R"("bias": "lora_only")", R"("lora_alpha": 4)", R"("rank_pattern": {"q_proj": 2})"}) {
    EXPECT_THAT(refusal_of("VBLORA", std::string(", ") + member), HasSubstr("E_UNSUPPORTED_OPTION")) << member;
  }
}

TEST(AdapterConfig, TellsWhichMatricesAreOfBlocks) {
  const auto blocks_of = [](const std::string& options, std::string_view path) -> std::string {
    Json json = sample("plain");
    json["use_bdlora"] = *parse_json(options);
    const Result<AdapterConfig> config = parse_adapter_config(json);
    if (!config) return config.error().code + ": " + config.error().message;
    const Result<BlockCounts> blocks = config->blocks_of(path);
    return blocks ? fmt::format("{} {}", blocks->a, blocks->b) : blocks.error().code + ": " + blocks.error().message;
  };
  const std::string lists = R"({"target_modules_bd_a": ["o_proj"], "target_modules_bd_b": ["q_proj", "layers.1.mlp"], "nblocks": 4)";
  EXPECT_EQ(blocks_of(lists + "}", "model.layers.0.self_attn.o_proj"), "4 1");
  EXPECT_EQ(blocks_of(lists + "}", "model.layers.0.self_attn.q_proj"), "1 4");
  EXPECT_EQ(blocks_of(lists + "}", "model.layers.1.mlp.up_proj"), "1 4") << "parts of the whole path";
  EXPECT_EQ(blocks_of(lists + R"(, "match_strict": false})", "model.layers.0.mlp.up_proj"), "1 1");
  EXPECT_EQ(blocks_of("null", "model.layers.0.mlp.up_proj"), "1 1");
  EXPECT_THAT(blocks_of(lists + "}", "model.layers.0.mlp.up_proj"), AllOf(HasSubstr("E_UNSUPPORTED_OPTION"), HasSubstr("neither list")));
  EXPECT_THAT(blocks_of("{}", "q_proj"), AllOf(HasSubstr("E_UNSUPPORTED_OPTION"), HasSubstr("neither list")));
  EXPECT_THAT(blocks_of(R"({"target_modules_bd_a": ["q"], "target_modules_bd_b": ["q_proj"]})", "q_proj"),
              AllOf(HasSubstr("E_UNSUPPORTED_OPTION"), HasSubstr("both")));
  EXPECT_THAT(blocks_of(R"({"nblocks": "2"})", "q_proj"), HasSubstr("E_BAD_JSON"));
  EXPECT_THAT(blocks_of(R"({"nblocks": -1})", "q_proj"), HasSubstr("nblocks"));
  EXPECT_THAT(blocks_of(R"({"target_modules_bd_a": 3})", "q_proj"), HasSubstr("E_BAD_JSON"));
  EXPECT_THAT(blocks_of("[1]", "q_proj"), HasSubstr("E_BAD_JSON"));
}

TEST(AdapterConfig, ReadsShira) {
  EXPECT_EQ(parsed_of("SHIRA", "")->r, 32) << "PEFT's default";
  EXPECT_EQ(parsed_of("SHIRA", R"(, "r": 3, "mask_type": "mine", "random_seed": 7, "init_weights": false)")->r, 3);
  EXPECT_THAT(refusal_of("SHIRA", R"(, "rank_pattern": {"q_proj": 3})"), HasSubstr("E_UNSUPPORTED_OPTION"));
  EXPECT_THAT(refusal_of("SHIRA", R"(, "bias": "all")"), HasSubstr("E_UNSUPPORTED_OPTION"));
}

TEST(AdapterConfig, ReadsFromAFolder) {
  const TemporaryFolder folder;
  EXPECT_EQ(read_adapter_config(Folder::open(folder.path()).value()).error().code, "E_NO_CONFIG");
  folder.write("adapter_config.json", sample("plain").dump());
  EXPECT_TRUE(read_adapter_config(Folder::open(folder.path()).value()));
  folder.write("adapter_config.json", R"({"r":8,"r":16})");
  const Result<AdapterConfig> twice = read_adapter_config(Folder::open(folder.path()).value());
  EXPECT_EQ(twice.error().code, "E_BAD_JSON");
  EXPECT_THAT(twice.error().message, HasSubstr("adapter_config.json: line 1"));
  EXPECT_EQ(twice.error().message.find(folder.path()), std::string::npos);
}

}  // namespace
}  // namespace slora
