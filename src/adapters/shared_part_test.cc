#include "adapters/shared_part.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "adapters/adapter_store.h"
#include "adapters/testing/lora_fixture.h"
#include "adapters/testing/scripted_folders.h"
#include "adapters/vera_projection.h"

namespace slora {
namespace {

constexpr const char* kSharedQ = "model.layers.0.self_attn.q_proj";  // [48, 48]
constexpr const char* kSharedV = "model.layers.1.self_attn.v_proj";  // [24, 48]
constexpr std::int64_t kSharedRank = 5;

// VeRA on these modules, whose order decides on the vectors. A and B depend on `seed`.
struct VeraFixture {
  std::vector<std::string> modules = {kSharedQ, kSharedV};
  unsigned seed = 1;
  DType dtype = DType::f32;

  [[nodiscard]] LoraFixture make() const {
    LoraFixture fixture;
    fixture.config = R"({"peft_type": "VERA", "r": 5})";
    for (const std::string& module : modules) {
      fixture.add(module + ".vera_lambda_b", {module.ends_with("q_proj") ? 48 : 24}).add(module + ".vera_lambda_d", {kSharedRank});
    }
    for (const auto& [name, shape] : {std::pair("base_model.vera_A", std::vector<std::int64_t>{kSharedRank, 48}),
                                      std::pair("base_model.vera_B", std::vector<std::int64_t>{48, kSharedRank})}) {
      const unsigned number = seed * 2 + (shape[0] == 48 ? 1 : 0);
      fixture.tensors.push_back(tensor_to_write(name, dtype, shape, LoraFixture::random_values(48 * kSharedRank, number + 100)));
    }
    return fixture;
  }
};

PreparedAdapter prepare(const LoraFixture& fixture, const TemporaryFolder& root, const AdapterBase& base) {
  static int count = 0;
  const std::string folder = root.file("adapter" + std::to_string(++count));
  fixture.write(folder);
  return prepare_adapter(FolderPath(folder), base).value();
}

using Image = std::vector<std::vector<std::byte>>;  // the pages of one shard

std::vector<Image> images_of(const PreparedAdapter& adapter) {
  const std::vector<std::byte> page(adapter.layouts.front().page_bytes, std::byte{0xa5});
  return std::vector<Image>(adapter.layouts.size(), Image(adapter.size.pages_in_all(), page));
}

// The code of its error, or "written".
std::string write(std::vector<Image>& images, const PreparedAdapter& adapter, SharedPart shared = SharedPart::write) {
  std::vector<std::vector<std::byte*>> addresses;
  for (Image& image : images) {
    std::vector<std::byte*>& pages = addresses.emplace_back();
    for (std::vector<std::byte>& page : image) pages.push_back(page.data());
  }
  const Result<Sha256Digest> written =
      write_adapter(std::vector<ImagePages>(addresses.begin(), addresses.end()), adapter, open_gate(), shared);
  return written ? "written" : written.error().code;
}

TEST(SharedPart, IsTheSameInAdaptersOfOneProjection) {
  for (const std::int32_t shard_count : {1, 2}) {
    AdapterBase base = test_base({}, 512);
    base.modules = test_modules(shard_count);
    const TemporaryFolder root;
    const PreparedAdapter first = prepare(VeraFixture().make(), root, base);
    const PreparedAdapter second = prepare(VeraFixture{.modules = {kSharedV, kSharedQ}}.make(), root, base);
    EXPECT_GT(first.size.shared_page_count, 0u);
    EXPECT_EQ(second.size.shared_page_count, first.size.shared_page_count);
    EXPECT_EQ(second.size.shared_digest, first.size.shared_digest);
    std::vector<Image> one = images_of(first), other = images_of(second);
    ASSERT_EQ(write(one, first), "written");
    ASSERT_EQ(write(other, second), "written");
    for (std::size_t shard = 0; shard < one.size(); ++shard) {
      for (std::uint32_t page = 0; page < first.layouts[shard].shared_page_count; ++page)
        EXPECT_EQ(one[shard][first.size.page_count + page], other[shard][second.size.page_count + page]);
    }
  }
}

TEST(SharedPart, HasADigestOfItsContent) {
  const AdapterBase base = test_base({}, 512);
  const TemporaryFolder root;
  const auto digest = [&](const VeraFixture& fixture) { return prepare(fixture.make(), root, base).size.shared_digest; };
  const Sha256Digest usual = digest({});
  EXPECT_EQ(digest({}), usual);
  EXPECT_NE(digest({.seed = 2}), usual) << "other numbers";
  EXPECT_NE(digest({.dtype = DType::bf16}), usual) << "another type";
  EXPECT_NE(digest({.modules = {kSharedV}}), usual) << "other slices";
  EXPECT_EQ(digest({.modules = {"model.layers.0.self_attn.k_proj", "model.layers.1.self_attn.q_proj"}}), usual) << "the same slices";
  const PreparedAdapter lora = prepare(small_lora(), root, base);
  EXPECT_EQ(lora.size.shared_page_count, 0u);
  EXPECT_EQ(lora.size.shared_digest, Sha256Digest());
}

TEST(SharedPart, IsTheSameWhetherItsProjectionIsDrawnOrInTheFile) {
  const AdapterBase base = test_base({}, 512);
  const TemporaryFolder root;
  const VeraProjection drawn({.rank = kSharedRank, .in = 48, .out = 48, .seed = 0});
  LoraFixture stored = VeraFixture().make();
  for (auto& [name, numbers] : {std::pair("base_model.vera_A", drawn.a()), std::pair("base_model.vera_B", drawn.b())}) {
    TensorToWrite& tensor = *std::ranges::find(stored.tensors, name, &TensorToWrite::name);
    tensor = tensor_to_write(name, DType::f32, tensor.shape, {numbers.begin(), numbers.end()});
  }
  LoraFixture drawing = VeraFixture().make();
  drawing.config = R"({"peft_type": "VERA", "r": 5, "save_projection": false})";
  drawing.tensors.resize(drawing.tensors.size() - 2);
  EXPECT_EQ(prepare(stored, root, base).size.shared_digest, prepare(drawing, root, base).size.shared_digest);
}

TEST(SharedPart, IsLeftAsItIsWhereItWasWritten) {
  const AdapterBase base = test_base({}, 512);
  const TemporaryFolder root;
  const PreparedAdapter adapter = prepare(VeraFixture().make(), root, base);
  std::vector<Image> whole = images_of(adapter), own = images_of(adapter);
  ASSERT_EQ(write(whole, adapter), "written");
  ASSERT_EQ(write(own, adapter, SharedPart::leave), "written");
  for (std::uint32_t page = 0; page < adapter.size.pages_in_all(); ++page) {
    const std::vector<std::byte> untouched(512, std::byte{0xa5});
    EXPECT_EQ(own.front()[page], page < adapter.size.page_count ? whole.front()[page] : untouched) << page;
  }
}

TEST(SharedPart, IsCheckedWhereItIsNotWritten) {
  const AdapterBase base = test_base({}, 512);
  const TemporaryFolder root;
  LoraFixture huge = VeraFixture().make();
  TensorToWrite& b = huge.tensors.back();
  std::vector<float> numbers(5 * 48, 1e10f);
  b = tensor_to_write(b.name, DType::f32, b.shape, numbers);
  TensorToWrite& lambda = huge.tensors.front();
  lambda = tensor_to_write(lambda.name, DType::f32, lambda.shape, std::vector<float>(48, 1e10f));
  const PreparedAdapter adapter = prepare(huge, root, base);
  std::vector<Image> images = images_of(adapter);
  EXPECT_EQ(write(images, adapter, SharedPart::leave), "E_NONFINITE");
}

TEST(SharedPart, HasOneIdInAStoreForOneContent) {
  const TemporaryFolder root;
  VeraFixture().make().write(root.file("first"));
  VeraFixture{.modules = {kSharedV, kSharedQ}}.make().write(root.file("second"));
  VeraFixture{.seed = 2}.make().write(root.file("third"));
  AdapterStore store(test_base({}, 512), kLookAlways);
  ASSERT_EQ(store.add_root(root.path()).value(), 3);
  const auto shared = [&](const std::string& name) {
    const auto version = store.resolve(name).value();
    EXPECT_EQ(version->shared().size(), 1u);
    EXPECT_EQ(version->pages_in_all(), version->page_count() + version->shared().front().page_count);
    return version->shared().front();
  };
  const SharedImage first = shared("first");
  EXPECT_EQ(shared("second"), first);
  EXPECT_NE(shared("third").id, first.id);

  const std::array<WeightedAdapter, 3> names = {{{"first", 0.5}, {"second", 2}, {"third", 1}}};
  const auto blend = store.find_blend(names).value();
  EXPECT_EQ(blend->shared().size(), 2u) << "each once";
  EXPECT_EQ(blend->page_count(), 3 * store.resolve("first").value()->page_count());

  VeraFixture{.seed = 2}.make().write(root.file("first"));
  EXPECT_EQ(shared("first"), shared("third")) << "a new content under the name";
}

}  // namespace
}  // namespace slora
