// Adapters of other programs' forms: tests/golden/README.md says what the folders are.
#include "adapters/foreign_adapter.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "adapters/adapter_conversion.h"
#include "adapters/adapter_folder.h"
#include "adapters/adapter_image.h"
#include "adapters/adapter_store.h"
#include "adapters/adapter_summary.h"
#include "adapters/adapter_watcher.h"
#include "adapters/testing/foreign_fixture.h"
#include "adapters/testing/lora_fixture.h"
#include "adapters/testing/scripted_folders.h"
#include "adapters/torchtune_adapter.h"
#include "base/testing/source_path.h"

namespace slora {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

const fs::path kGolden = source_path("tests/golden");

ModuleTable modules_of(const std::string& model) { return make_module_table(read_model_config((kGolden / model).string()).value()); }

struct ForeignCase {
  fs::path folder, peft;
  std::string model;

  [[nodiscard]] bool is_gguf() const { return folder.filename().string().starts_with("gguf"); }
  // Whether loading reads it, without a conversion before.
  [[nodiscard]] bool is_loaded() const { return find_pickle(Folder::open(folder.string()).value()).empty(); }
};

std::vector<ForeignCase> foreign_cases() {
  std::vector<ForeignCase> cases;
  for (const auto& entry : fs::directory_iterator(kGolden / "foreign")) {
    const Json expected = read_json_file((entry.path() / "expected.json").string()).value();
    cases.push_back({entry.path(), kGolden / expected["peft"].get<std::string>(), expected["model"].get<std::string>()});
  }
  return cases;
}

// Name, type and bytes of every tensor; F32 numbers of others where `widens`.
std::map<std::string, std::vector<std::byte>> numbers_of(const SafetensorsFile& file, bool widens) {
  std::map<std::string, std::vector<std::byte>> numbers;
  for (const TensorInfo& tensor : file.tensors()) {
    std::vector<std::byte> bytes(tensor.bytes);
    EXPECT_TRUE(file.read(tensor, bytes));
    if (widens) {
      std::vector<float> wide(tensor.bytes / bytes_of(tensor.dtype));
      convert_to_float(wide.data(), bytes.data(), tensor.dtype, wide.size());
      const auto as_bytes = std::as_bytes(std::span(wide));
      bytes.assign(as_bytes.begin(), as_bytes.end());
    }
    numbers[fmt::format("{} {} {}", tensor.name, widens ? "" : name_of(tensor.dtype), fmt::join(tensor.shape, ","))] = std::move(bytes);
  }
  return numbers;
}

// Fails unless both files have the same tensors; of the same types too, unless `widens`: GGUF files of the golden data are F32 where PEFT's
// may be bf16.
void expect_same_numbers(const SafetensorsFile& found, const SafetensorsFile& expected, bool widens) {
  const auto found_numbers = numbers_of(found, widens), expected_numbers = numbers_of(expected, widens);
  ASSERT_EQ(found_numbers.size(), expected_numbers.size());
  for (const auto& [name, bytes] : expected_numbers) {
    const auto at = found_numbers.find(name);
    ASSERT_NE(at, found_numbers.end()) << name;
    EXPECT_TRUE(at->second == bytes) << name << ": other bytes";
  }
}

// Fails unless both have the same scales.
void expect_same_config(const AdapterFolder& found, const AdapterFolder& expected) {
  EXPECT_EQ(found.config.use_dora, expected.config.use_dora);
  EXPECT_EQ(found.config.invocation_tokens, expected.config.invocation_tokens);
  for (const TensorInfo& tensor : expected.weights.tensors()) {
    if (tensor.name.find(".lora_A") == std::string::npos) continue;
    const std::string path = tensor.name.substr(17, tensor.name.rfind(".lora_") - 17);  // after "base_model.model."
    EXPECT_EQ(static_cast<float>(found.config.scale_of(path).value()), static_cast<float>(expected.config.scale_of(path).value())) << path;
  }
}

AdapterFolder open_with(const fs::path& folder, const ModuleTable& base) {
  Result<AdapterFolder> opened = open_adapter_folder(Folder::open(folder.string()).value(), &base, FileContents::numbers);
  if (!opened) ADD_FAILURE() << folder << ": " << opened.error().code << ": " << opened.error().message;
  return std::move(opened).value();
}

TEST(ForeignAdapter, IsLoadedWithTheNumbersOfThePeftFolderItWasMadeOf) {
  int count = 0;
  for (const ForeignCase& test : foreign_cases()) {
    if (!test.is_loaded()) continue;
    SCOPED_TRACE(test.folder.filename());
    const ModuleTable base = modules_of(test.model);
    const AdapterFolder found = open_with(test.folder, base), expected = open_with(test.peft, base);
    expect_same_numbers(found.weights, expected.weights, test.is_gguf());
    expect_same_config(found, expected);
    ++count;
  }
  EXPECT_GE(count, 10);
}

TEST(ForeignAdapter, BecomesAPeftFolderWithTheSameNumbers) {
  const TemporaryFolder root;
  int count = 0;
  for (const ForeignCase& test : foreign_cases()) {
    SCOPED_TRACE(test.folder.filename());
    const ModuleTable base = modules_of(test.model);
    const bool is_long = test.folder.filename() == "long_lora";
    const std::string out = root.file(test.folder.filename().string());
    const Result<Conversion> made = convert_adapter(
        {.folder = test.folder.string(), .out = out, .base = &base, .rope_factor = is_long ? std::optional(4.0) : std::nullopt});
    ASSERT_TRUE(made) << made.error().code << ": " << made.error().message;
    const auto weights = SafetensorsFile::open(out + "/adapter_model.safetensors").value();
    const auto expected = SafetensorsFile::open((test.peft / "adapter_model.safetensors").string()).value();
    expect_same_numbers(weights, expected, test.is_gguf());
    EXPECT_EQ(made->tensor_count, expected.tensors().size());
    ++count;
    if (is_long) {
      EXPECT_EQ(read_json_file(out + "/adapter_config.json").value(), read_json_file((test.peft / "adapter_config.json").string()).value());
      continue;
    }
    expect_same_config(open_with(out, base), open_with(test.peft, base));
  }
  EXPECT_GE(count, 15);
}

// So that adapters are the same to caches before and after a conversion.
TEST(ForeignAdapter, HasTheIdentityOfTheFolderThatItBecomes) {
  for (const char* name : {"mlx_lora", "gguf_bf16", "torchtune_llama"}) {
    SCOPED_TRACE(name);
    const Json expected = read_json_file((kGolden / "foreign" / name / "expected.json").string()).value();
    const AdapterBase base{.modules = modules_of(expected["model"].get<std::string>()), .format = {DType::bf16, 2}, .page_bytes = 4096};
    const TemporaryFolder root;
    const std::string foreign = (kGolden / "foreign" / name).string();
    ASSERT_TRUE(convert_adapter({.folder = foreign, .out = root.file("out"), .base = &base.modules}));
    const auto identity_of = [&](const std::string& folder) {
      return verify_adapter(prepare_adapter(FolderPath(folder), base).value(), open_gate()).value();
    };
    EXPECT_EQ(identity_of(foreign), identity_of(root.file("out")));
  }
}

TEST(ForeignAdapter, IsRefusedForWhatTheGoldenFoldersGetWrong) {
  const AdapterBase base{.modules = modules_of("mix32"), .format = {DType::bf16, 2}, .page_bytes = 4096};
  int count = 0;
  for (const auto& entry : fs::directory_iterator(kGolden / "foreign_refused")) {
    const std::string name = entry.path().filename().string();
    SCOPED_TRACE(name);
    const Json expected = read_json_file((entry.path() / "expected.json").string()).value();
    const TemporaryFolder root;
    const auto expect_refusal = [&](const Error& found) {
      EXPECT_EQ(found.code, expected["code"].get<std::string>()) << found.message;
      for (const Json& mention : expected["mentions"]) EXPECT_THAT(found.message, HasSubstr(mention.get<std::string>()));
    };
    ++count;
    if (expected["by"] == "load") {
      const Result<PreparedAdapter> adapter = prepare_adapter(FolderPath(entry.path().string()), base);
      ASSERT_FALSE(adapter) << "served";
      expect_refusal(adapter.error());
      EXPECT_THAT(adapter.error().message, Not(HasSubstr(kGolden.string()))) << "a path of this machine in what clients see";
      continue;
    }
    const Result<PreparedAdapter> loaded = prepare_adapter(FolderPath(entry.path().string()), base);
    ASSERT_FALSE(loaded) << "served";
    EXPECT_EQ(loaded.error().code, "E_PICKLE");
    EXPECT_THAT(loaded.error().message, HasSubstr("slora convert"));
    const Result<Conversion> made = convert_adapter({.folder = entry.path().string(), .out = root.file("out"), .base = &base.modules});
    ASSERT_FALSE(made) << "converted";
    expect_refusal(made.error());
    EXPECT_TRUE(fs::is_empty(root.path())) << "half of a conversion was left";
  }
  EXPECT_GT(count, 50);
}

TEST(ForeignAdapter, NeedsTheBaseOnlyWhereTheOrderOfNumbersDependsOnIt) {
  const TemporaryFolder root;
  const auto convert = [&](const std::string& name) {
    return convert_adapter({.folder = (kGolden / "foreign" / name).string(), .out = root.file(name)});
  };
  for (const char* name : {"gguf_f32", "torchtune_llama", "torchtune_pickled"}) EXPECT_EQ(convert(name).error().code, "E_NO_BASE") << name;
  for (const char* name : {"gguf_qwen2", "mlx_lora", "torch_zip"}) EXPECT_TRUE(convert(name)) << name;
  EXPECT_EQ(describe_adapter((kGolden / "foreign/gguf_f32").string()).value().module_count, 14) << "which needs no numbers";
}

TEST(ForeignAdapter, OverwritesNothing) {
  const TemporaryFolder root;
  const std::string folder = (kGolden / "foreign/torch_zip").string();
  fs::create_directory(root.file("taken"));
  EXPECT_EQ(convert_adapter({.folder = folder, .out = root.file("taken")}).error().code, "E_EXISTS");
  EXPECT_EQ(convert_adapter({.folder = folder, .out = root.file("taken/")}).error().code, "E_EXISTS");
  EXPECT_EQ(convert_adapter({.folder = folder, .out = root.file("no/such/parent")}).error().code, "E_WRITE");
  EXPECT_TRUE(fs::is_empty(root.file("taken")));
  ASSERT_TRUE(convert_adapter({.folder = folder, .out = root.file("made/")}));
  EXPECT_EQ(convert_adapter({.folder = root.file("made"), .out = root.file("again")}).error().code, "E_FOREIGN") << "a PEFT folder already";
}

TEST(ForeignAdapter, KeepsTheTextFilesOfItsFolder) {
  const TemporaryFolder root;
  fs::copy(kGolden / "foreign/mlx_lora", root.file("mlx"));
  root.write("mlx/tokenizer.json", "{}");
  root.write("mlx/config.json", "{}");
  EXPECT_THAT(convert_adapter({.folder = root.file("mlx"), .out = root.file("out")}).value().copied, ElementsAre("tokenizer.json"));
  EXPECT_TRUE(fs::exists(root.file("out/tokenizer.json")));
  EXPECT_FALSE(fs::exists(root.file("out/config.json"))) << "which would be taken for the base's";
}

TEST(ForeignAdapter, TakesLongLorasFactorFromTheOptionOrTheConfigNextToIt) {
  const TemporaryFolder root;
  fs::copy(kGolden / "foreign/long_lora", root.file("long"));
  const auto factor_of = [&](const std::string& out, std::optional<double> option, const ModuleTable* base = nullptr) {
    const Result<Conversion> made =
        convert_adapter({.folder = root.file("long"), .out = root.file(out), .base = base, .rope_factor = option});
    if (!made) return made.error().code;
    return read_json_file(root.file(out + "/adapter_config.json")).value()["rope_scaling"].dump();
  };
  EXPECT_EQ(factor_of("none", std::nullopt), "E_ROPE");
  root.write("long/config.json", R"({"rope_scaling": {"type": "linear", "factor": 8.0}})");
  EXPECT_EQ(factor_of("unknown_base", std::nullopt), "E_ROPE") << "whose own factor the file's may contain";
  ModuleTable base;
  EXPECT_EQ(factor_of("config", std::nullopt, &base), R"({"rope_type":"linear","factor":8.0})");
  base.rope.kind = RopeKind::linear;
  base.rope.factor = 2;
  EXPECT_EQ(factor_of("of_scaled_base", std::nullopt, &base), R"({"rope_type":"linear","factor":4.0})");
  EXPECT_EQ(factor_of("option", 2.0), R"({"rope_type":"linear","factor":2.0})");
  root.write("long/config.json", R"({"rope_scaling": {"rope_type": "yarn", "factor": 8.0}})");
  EXPECT_EQ(factor_of("yarn", std::nullopt, &base), "E_ROPE");
  EXPECT_EQ(factor_of("too_large", 257.0), "E_ROPE");
}

TEST(ForeignAdapter, TakesNoMoreMemoryThanItsLimit) {
  const Folder folder = Folder::open((kGolden / "foreign/mlx_lora").string()).value();
  const PeftForm form = read_foreign_adapter(folder, find_adapter_files(folder), nullptr).value();
  const std::uint64_t bytes = form.file_bytes();
  const Result<SafetensorsFile> made = make_weights_in_memory(form, "a", FileContents::numbers, nullptr, bytes);
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->file_bytes(), bytes);
  EXPECT_EQ(make_weights_in_memory(form, "a", FileContents::numbers, nullptr, bytes - 1).error().code, "E_TOO_LARGE");
}

// torchtune's own export leaves the magnitudes of q and k in Meta's order, where they belong to other rows.
TEST(ForeignAdapter, OrdersTorchtunesMagnitudesAsTheRows) {
  const ModuleTable base = test_modules();  // a Llama: 4 heads of 12
  const auto tensor = [](const std::string& name, std::vector<std::int64_t> shape) {
    const auto count = static_cast<std::size_t>(shape[0] * (shape.size() > 1 ? shape[1] : 1));
    return ReadableTensor{{name, DType::f32, std::move(shape), 0, count * sizeof(float)}, [count](std::span<std::byte> out) -> Status {
                            for (std::size_t i = 0; i < count; ++i) {
                              const auto value = static_cast<float>(i);
                              std::memcpy(&out[i * sizeof(value)], &value, sizeof(value));
                            }
                            return {};
                          }};
  };
  const PeftForm form =
      convert_torchtune_adapter({tensor("layers.0.attn.q_proj.magnitude", {48}), tensor("layers.0.attn.v_proj.magnitude", {24})},
                                {{"r", 1}, {"lora_alpha", 1}}, &base)
          .value();
  EXPECT_EQ(parse_json(form.config).value()["use_dora"], true);
  const auto magnitudes_of = [&](std::size_t index) {
    std::vector<float> out(form.tensors[index].info.bytes / sizeof(float));
    EXPECT_TRUE(form.tensors[index].read(std::as_writable_bytes(std::span(out))));
    return out;
  };
  const std::vector<float> query = magnitudes_of(0), value = magnitudes_of(1);
  EXPECT_THAT(std::vector(query.begin(), query.begin() + 12), ElementsAre(0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11));
  EXPECT_EQ(query[12], 12) << "the next head";
  EXPECT_EQ(value[1], 1) << "no rotary embedding turns values";
}

struct ForeignFolderTest : ::testing::Test {
  void write_mlx(const std::string& name, int rank) const {
    const TemporaryFolder peft;
    lora_of_rank(rank).write(peft.path());
    write_as_mlx(peft.path(), root.file(name));
  }
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const AdapterListing& adapter : store.list()) names.push_back(adapter.refused ? adapter.name + " refused" : adapter.name);
    return names;
  }

  const TemporaryFolder root;
  AdapterStore store{test_base(), kLookAlways};
};

TEST_F(ForeignFolderTest, IsListedServedAndReadAgainWhenItChanges) {
  write_mlx("mlx", 4);
  fs::create_directories(root.file("gguf"));
  fs::copy(kGolden / "foreign/gguf_f32/gguf_f32.gguf", root.file("gguf"));
  EXPECT_EQ(store.add_root(root.path()).value(), 2);
  EXPECT_THAT(names(), ElementsAre("gguf", "mlx"));
  EXPECT_EQ(store.list()[1].rank, 4);
  const auto version = store.resolve("mlx").value();
  EXPECT_EQ(store.resolve("mlx").value(), version);
  EXPECT_EQ(store.resolve("gguf").error().code, "E_WRONG_BASE") << "by its header, which the base does not fit";

  write_mlx("mlx", 2);
  const auto changed = store.resolve("mlx").value();
  EXPECT_NE(changed, version);
  EXPECT_EQ(changed->generation(), 2u);
  EXPECT_EQ(store.list()[1].rank, 2);
}

TEST_F(ForeignFolderTest, IsAddedByTheWatcherWhenItIsComplete) {
  store.add_root(root.path()).value();
  AdapterWatcher watcher(store, root.path());
  write_mlx("mlx", 4);
  fs::rename(root.file("mlx/adapters.safetensors"), root.file("weights"));
  fs::create_directories(root.file("gguf"));
  fs::copy(kGolden / "foreign/gguf_f32/gguf_f32.gguf", root.file("gguf"));
  for (int i = 0; i < 3; ++i) watcher.scan();
  EXPECT_THAT(names(), ElementsAre("gguf")) << "the other has no weights yet";
  fs::rename(root.file("weights"), root.file("mlx/adapters.safetensors"));
  for (int i = 0; i < 2; ++i) watcher.scan();
  EXPECT_THAT(names(), ElementsAre("gguf", "mlx"));
  fs::remove_all(root.file("gguf"));
  watcher.scan();
  EXPECT_THAT(names(), ElementsAre("mlx"));
}

TEST_F(ForeignFolderTest, FollowsNoLinkOutOfItsRoot) {
  const TemporaryFolder elsewhere;
  fs::copy(kGolden / "foreign/gguf_f32/gguf_f32.gguf", elsewhere.path());
  fs::create_directories(root.file("gguf"));
  fs::create_symlink(elsewhere.file("gguf_f32.gguf"), root.file("gguf/linked.gguf"));
  EXPECT_EQ(check_links(Folder::open(FolderPath::beneath(root.path(), "gguf")).value()).error().code, "E_LINK");
}

}  // namespace
}  // namespace slora
