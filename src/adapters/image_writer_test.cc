#include "adapters/image_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <span>
#include <tuple>
#include <utility>

#include "adapters/adapter_image.h"
#include "adapters/testing/lora_fixture.h"

namespace slora {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kQ0 = "model.layers.0.self_attn.q_proj";
constexpr const char* kDown1 = "model.layers.1.mlp.down_proj";

// Memory for an image that is not zeroed.
struct Pages {
  explicit Pages(const ImageLayout& layout) : memory(layout.page_count, std::vector<std::byte>(layout.page_bytes, std::byte{0xff})) {
    for (std::vector<std::byte>& page : memory) addresses.push_back(page.data());
  }
  std::vector<std::vector<std::byte>> memory;  // [page_count][page_bytes]
  std::vector<std::byte*> addresses;
};

// A stored matrix put together from its tiles: [rows, cols].
std::vector<float> gathered(const ImageLayout& layout, const StoredMatrix& matrix, const Pages& pages) {
  const std::size_t element_bytes = bytes_of(matrix.dtype);
  std::vector<float> values(static_cast<std::size_t>(matrix.rows) * static_cast<std::size_t>(matrix.cols), NAN);
  for (std::int32_t i = 0; i < matrix.tile_count; ++i) {
    const ImageTile& tile = layout.tiles[static_cast<std::size_t>(matrix.tile_begin + i)];
    for (std::int32_t row = 0; row < tile.row_count; ++row) {
      const std::size_t element = static_cast<std::size_t>(row) * static_cast<std::size_t>(tile.col_count);
      const std::byte* source = pages.addresses[tile.place.page] + tile.place.offset + element * element_bytes;
      float* target = &values[static_cast<std::size_t>((tile.row_begin + row) * matrix.cols + tile.col_begin)];
      convert_to_float(target, source, matrix.dtype, static_cast<std::size_t>(tile.col_count));
    }
  }
  return values;
}

std::vector<float> values_of(const TensorToWrite& tensor) {
  std::vector<float> values(tensor.bytes.size() / bytes_of(tensor.dtype));
  convert_to_float(values.data(), tensor.bytes.data(), tensor.dtype, values.size());
  return values;
}

// The block of `tensor` [rows, cols] that `slice` names, row after row.
std::vector<float> block_of(const TensorToWrite& tensor, const SourceSlice& slice) {
  const std::vector<float> values = values_of(tensor);
  const std::int64_t cols = tensor.shape.back();
  std::vector<float> block;
  for (std::int64_t row = slice.row_begin; row < slice.row_begin + slice.row_count; ++row) {
    const auto begin = values.begin() + row * cols + slice.col_begin;
    block.insert(block.end(), begin, begin + slice.col_count);
  }
  return block;
}

// What lies in the image of a layout: for each record the fixture's values, where kernels will look for them.
void expect_image(const LoraFixture& fixture, const ImageLayout& layout, const SafetensorsFile& file, const Pages& pages) {
  const std::int32_t interleave = layout.format.b_interleave;
  const auto source = [&](const AdapterPart& part) {
    const std::string& name = file.tensors()[part.source.value].name;
    return block_of(*std::ranges::find(fixture.tensors, name, &TensorToWrite::name), part.slice);
  };
  for (const AdapterRecord& record : layout.records) {
    if (const AdapterPart* a = record.find(PartKind::a)) {
      EXPECT_EQ(gathered(layout, a->stored, pages), source(*a));
    }
    if (const AdapterPart* part = record.find(PartKind::b)) {
      const std::vector<float> b = source(*part);                               // [outputs, ranks]
      const std::vector<float> stored = gathered(layout, part->stored, pages);  // [ceil(ranks / interleave), outputs * interleave]
      const std::int32_t ranks = part->slice.col_count;
      ASSERT_EQ(part->stored.cols, part->slice.row_count * interleave);
      for (std::int32_t row = 0; row < part->stored.rows; ++row) {
        for (std::int32_t col = 0; col < part->stored.cols; ++col) {
          const std::int32_t k = row * interleave + col % interleave, output = col / interleave;
          const float expected = k < ranks ? b[static_cast<std::size_t>(output * ranks + k)] : 0.0f;
          ASSERT_EQ(stored[static_cast<std::size_t>(row * part->stored.cols + col)], expected) << "row " << row << " column " << col;
        }
      }
    }
    const AdapterPart* const added = record.find(PartKind::bias_added);
    const AdapterPart* const replacing = record.find(PartKind::bias_replacing);
    if (added == nullptr && replacing == nullptr) continue;
    const std::vector<float> bias = gathered(layout, (added != nullptr ? added : replacing)->stored, pages);
    const std::vector<float> none(bias.size());
    const std::vector<float> summed = added != nullptr ? source(*added) : none;
    const std::vector<float> base = replacing != nullptr ? source(*replacing) : none;
    for (std::size_t i = 0; i < bias.size(); ++i) EXPECT_FLOAT_EQ(bias[i], base[i] + record.scale * summed[i]);
  }
}

// Writes the image of a base in one piece.
Result<Sha256Digest> write_whole(const Pages& pages, const PreparedAdapter& adapter) {
  const ImagePages addresses = pages.addresses;
  Gate gate;
  return write_adapter(std::span(&addresses, 1), adapter, gate);
}

void expect_round_trip(const LoraFixture& fixture, const AdapterBase& base) {
  const TemporaryFolder folder;
  fixture.write(folder.path());
  const PreparedAdapter adapter = prepare_adapter(FolderPath(folder.path()), base).value();
  Pages pages(adapter.layouts.front());
  ASSERT_TRUE(write_whole(pages, adapter));
  expect_image(fixture, adapter.layouts.front(), adapter.folder.weights, pages);
}

TEST(ImageWriter, PutsEveryNumberWhereTheLayoutSays) {
  for (const std::size_t page_bytes : {256u, 1024u, 65536u}) {
    for (const AdapterFormat format : {AdapterFormat{DType::f32, 1}, AdapterFormat{DType::bf16, 2}, AdapterFormat{DType::f16, 2}}) {
      for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
        SCOPED_TRACE(testing::Message() << page_bytes << " " << name_of(format.dtype) << " from " << name_of(dtype));
        LoraFixture fixture;
        fixture.config = R"({"peft_type": "LORA", "r": 5, "lora_alpha": 10, "rank_pattern": {"q_proj": 1}})";
        fixture.add_pair(kQ0, 1, 48, 48, dtype);
        fixture.add_pair(kDown1, 5, 80, 48, dtype);
        expect_round_trip(fixture, test_base(format, page_bytes));
      }
    }
  }
}

TEST(ImageWriter, ReadsTensorsLargerThanItsBuffer) {
  ModelConfig config;
  config.vocab_size = 100;
  config.hidden_size = 1024;
  config.intermediate_size = 2048;
  config.layer_count = 1;
  config.head_count = config.kv_head_count = 1;
  config.head_dim = 64;
  const AdapterBase base{.modules = make_module_table(config), .format = {DType::bf16, 2}, .page_bytes = 16384};
  LoraFixture fixture;
  fixture.config = R"({"peft_type": "LORA", "r": 75, "lora_alpha": 10})";
  fixture.add_pair("model.layers.0.mlp.down_proj", 75, 2048, 1024);
  expect_round_trip(fixture, base);
}

TEST(ImageWriter, SumsStoredAndScaledBiases) {
  LoraFixture fixture;
  fixture.config = R"({"peft_type": "LORA", "r": 3, "lora_alpha": 6, "lora_bias": true, "bias": "lora_only"})";
  fixture.add_pair(kQ0, 3, 48, 48);
  fixture.add(std::string(kQ0) + ".lora_B.bias", {48});
  fixture.add(std::string(kQ0) + ".base_layer.bias", {48}, DType::f16);
  fixture.add("model.layers.1.self_attn.v_proj.bias", {24}, DType::bf16);
  expect_round_trip(fixture, test_base({DType::bf16, 2}, 1024));
}

TEST(ImageWriter, WritesTheSlicesOfAShard) {
  const TemporaryFolder folder;
  LoraFixture fixture;
  fixture.config = R"({"peft_type": "LORA", "r": 5, "lora_alpha": 10, "lora_bias": true, "bias": "lora_only"})";
  fixture.add_pair(kQ0, 5, 48, 48);
  fixture.add(std::string(kQ0) + ".lora_B.bias", {48});
  fixture.add(std::string(kQ0) + ".base_layer.bias", {48});
  fixture.write(folder.path());
  PreparedAdapter whole = prepare_adapter(FolderPath(folder.path()), test_base({DType::bf16, 2}, 1024)).value();
  Pages whole_pages(whole.layouts.front());
  const Sha256Digest identity = write_whole(whole_pages, whole).value();

  // Split by outputs and ranks, then by inputs.
  for (const auto& [a, b] :
       {std::pair(SourceSlice{2, 3, 0, 48}, SourceSlice{16, 20, 0, 5}), std::pair(SourceSlice{0, 5, 12, 24}, SourceSlice{24, 24, 1, 3}),
        std::pair(SourceSlice{5, 0, 0, 48}, SourceSlice{0, 48, 0, 5})}) {
    std::vector<AdapterRecord> records = whole.layouts.front().records;
    std::vector<AdapterPart>& parts = records[0].parts;
    ASSERT_EQ(parts.size(), 4u);
    parts[0].slice = a;
    parts[1].slice = b;
    parts[2].slice = parts[3].slice = {0, 1, b.row_begin, b.row_count};
    const ImageLayout layout = make_image_layout(std::move(records), {DType::bf16, 2}, 1024).value();
    Pages pages(layout);
    Sha256 content;
    const ImageTarget target{pages.addresses, &layout};
    Gate gate;
    ASSERT_TRUE(write_images(std::span(&target, 1), whole.folder.weights, {}, content, gate));
    expect_image(fixture, layout, whole.folder.weights, pages);
    PreparedAdapter sliced{std::move(whole.folder), {layout}, {}, {}};
    EXPECT_EQ(write_whole(pages, sliced).value(), identity) << "the whole content counts, not the slice";
    whole.folder = std::move(sliced.folder);
  }
}

TEST(ImageWriter, WritesTheImagesOfAllShardsInOneReading) {
  const TemporaryFolder folder;
  LoraFixture fixture;
  fixture.config = R"({"peft_type": "LORA", "r": 5, "lora_alpha": 10, "lora_bias": true, "bias": "lora_only",
      "rank_pattern": {"k_proj": 1, "down_proj": 3}})";
  fixture.add_pair(kQ0, 5, 48, 48);
  fixture.add(std::string(kQ0) + ".lora_B.bias", {48});
  fixture.add(std::string(kQ0) + ".base_layer.bias", {48});
  fixture.add_pair("model.layers.0.self_attn.k_proj", 1, 48, 24);
  fixture.add("model.layers.0.self_attn.k_proj.lora_B.bias", {24});
  fixture.add_pair(kDown1, 3, 80, 48);
  fixture.add(std::string(kDown1) + ".lora_B.bias", {48});
  fixture.write(folder.path());
  const PreparedAdapter whole = prepare_adapter(FolderPath(folder.path()), test_base({DType::bf16, 2}, 1024)).value();
  Pages whole_pages(whole.layouts.front());
  const Sha256Digest identity = write_whole(whole_pages, whole).value();
  for (const std::int32_t shard_count : {2, 4}) {
    AdapterBase base = test_base({DType::bf16, 2}, 1024);
    base.modules = test_modules(shard_count);
    const PreparedAdapter adapter = prepare_adapter(FolderPath(folder.path()), base).value();
    ASSERT_EQ(std::ssize(adapter.layouts), shard_count);
    std::vector<Pages> pages;
    for (const ImageLayout& layout : adapter.layouts) pages.emplace_back(layout);
    std::vector<ImagePages> addresses;
    for (const Pages& shard : pages) addresses.emplace_back(shard.addresses);
    Gate gate;
    EXPECT_EQ(write_adapter(addresses, adapter, gate).value(), identity);
    for (std::size_t shard = 0; shard < pages.size(); ++shard) {
      expect_image(fixture, adapter.layouts[shard], adapter.folder.weights, pages[shard]);
      EXPECT_LE(adapter.layouts[shard].page_count, adapter.size.page_count);
    }
  }
}

TEST(ImageWriter, NarrowsDoubles) {
  const TemporaryFolder folder;
  LoraFixture fixture = small_lora();
  for (TensorToWrite& tensor : fixture.tensors) {
    const std::vector<float> values = values_of(tensor);
    const std::vector<double> doubles(values.begin(), values.end());
    tensor.dtype = DType::f64;
    tensor.bytes.resize(doubles.size() * sizeof(double));
    std::memcpy(tensor.bytes.data(), doubles.data(), tensor.bytes.size());
  }
  expect_round_trip(fixture, test_base());
}

TEST(ImageWriter, RefusesWhatIsNotFiniteByTensorAndElement) {
  struct Case {
    float value;
    DType file, image;
    bool refused;
  };
  const float inf = std::numeric_limits<float>::infinity();
  for (const Case& c :
       {Case{NAN, DType::bf16, DType::f32, true}, Case{-inf, DType::f32, DType::bf16, true}, Case{inf, DType::f16, DType::f32, true},
        Case{65519.0f, DType::f32, DType::f16, false}, Case{-65520.0f, DType::f32, DType::f16, true},
        Case{1e15f, DType::f32, DType::bf16, false}, Case{3.4e38f, DType::f32, DType::bf16, true}}) {
    SCOPED_TRACE(testing::Message() << c.value << " in " << name_of(c.file) << " for " << name_of(c.image));
    const TemporaryFolder folder;
    LoraFixture fixture = small_lora();
    std::vector<float> values = values_of(fixture.tensors[1]);
    values[77] = c.value;
    fixture.tensors[1] = tensor_to_write(fixture.tensors[1].name, c.file, fixture.tensors[1].shape, values);
    fixture.write(folder.path());
    const PreparedAdapter adapter = prepare_adapter(FolderPath(folder.path()), test_base({c.image, 1})).value();
    Pages pages(adapter.layouts.front());
    const Result<Sha256Digest> written = write_whole(pages, adapter);
    ASSERT_EQ(!written, c.refused);
    if (!c.refused) continue;
    EXPECT_EQ(written.error().code, "E_NONFINITE");
    EXPECT_THAT(written.error().message, AllOf(HasSubstr(fixture.tensors[1].name), HasSubstr("element 77")));
  }
}

// Multiplies every number of the tensors whose name contains `part`.
Result<Sha256Digest> written_times(float factor, std::string_view part) {
  const TemporaryFolder folder;
  LoraFixture fixture = small_lora();
  for (TensorToWrite& tensor : fixture.tensors) {
    if (tensor.name.find(part) == std::string::npos) continue;
    std::vector<float> values = values_of(tensor);
    for (float& value : values) value *= factor;
    tensor = tensor_to_write(tensor.name, DType::f32, tensor.shape, values);
  }
  fixture.write(folder.path());
  const PreparedAdapter adapter = prepare_adapter(FolderPath(folder.path()), test_base()).value();
  Pages pages(adapter.layouts.front());
  return write_whole(pages, adapter);
}

TEST(ImageWriter, RefusesFiniteNumbersThatOverflowInUse) {
  for (const char* part : {"lora_A", "lora_B", ""}) {
    const Result<Sha256Digest> written = written_times(1e36f, part);
    ASSERT_FALSE(written) << part;
    EXPECT_EQ(written.error().code, "E_NONFINITE");
    EXPECT_THAT(written.error().message, AllOf(HasSubstr("tensor \"base_model.model.model.layers."), HasSubstr("would overflow")));
  }
  const Result<Sha256Digest> products = written_times(1e10f, "");
  ASSERT_FALSE(products);
  EXPECT_THAT(products.error().message, HasSubstr("products with A"));
  EXPECT_TRUE(written_times(1e6f, ""));
}

TEST(ImageWriter, HashesTensorsThatHaveNoPlaceAndLeavesThemOut) {
  const auto identity_of = [](std::int8_t value) {
    const TemporaryFolder folder;
    LoraFixture fixture = small_lora();
    fixture.tensors.push_back({"base_model.model.model.layers.0.self_attn.steps_seen", DType::i8, {1}, {static_cast<std::byte>(value)}});
    fixture.write(folder.path());
    const PreparedAdapter adapter = prepare_adapter(FolderPath(folder.path()), test_base()).value();
    EXPECT_THAT(adapter.warnings, ElementsAre(HasSubstr("steps_seen")));
    Pages pages(adapter.layouts.front());
    return write_whole(pages, adapter).value();
  };
  EXPECT_EQ(identity_of(1), identity_of(1));
  EXPECT_NE(identity_of(1), identity_of(2));
}

TEST(ImageWriter, RefusesABiasThatOverflowsWhenScaled) {
  const TemporaryFolder folder;
  LoraFixture fixture;
  fixture.config = R"({"peft_type": "LORA", "r": 1, "lora_alpha": 100, "lora_bias": true})";
  fixture.add_pair(kQ0, 1, 48, 48);
  fixture.tensors.push_back(
      tensor_to_write(std::string("base_model.model.") + kQ0 + ".lora_B.bias", DType::f32, {48}, std::vector<float>(48, 1e37f)));
  fixture.write(folder.path());
  const PreparedAdapter adapter = prepare_adapter(FolderPath(folder.path()), test_base()).value();
  Pages pages(adapter.layouts.front());
  const Result<Sha256Digest> written = write_whole(pages, adapter);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, "E_NONFINITE");
}

TEST(ImageWriter, LeavesNothingOfThePagesLastUser) {
  const TemporaryFolder folder;
  small_lora().write(folder.path());
  const PreparedAdapter adapter = prepare_adapter(FolderPath(folder.path()), test_base({DType::bf16, 2}, 1024)).value();
  Pages first(adapter.layouts.front()), second(adapter.layouts.front());
  for (std::vector<std::byte>& page : second.memory) std::fill(page.begin(), page.end(), std::byte{0x11});
  const Sha256Digest identity = write_whole(first, adapter).value();
  EXPECT_EQ(write_whole(second, adapter).value(), identity);
  EXPECT_EQ(first.memory, second.memory);
}

TEST(ImageWriter, GivesEveryContentAnotherIdentity) {
  const auto identity_of = [](const LoraFixture& fixture) {
    const TemporaryFolder folder;
    fixture.write(folder.path());
    const PreparedAdapter adapter = prepare_adapter(FolderPath(folder.path()), test_base()).value();
    Pages pages(adapter.layouts.front());
    return write_whole(pages, adapter).value();
  };
  const Sha256Digest identity = identity_of(small_lora());
  EXPECT_EQ(identity_of(small_lora()), identity);
  LoraFixture other_weight = small_lora();
  other_weight.tensors[3].bytes[9] ^= std::byte{1};
  EXPECT_NE(identity_of(other_weight), identity);
  LoraFixture other_config = small_lora();
  other_config.config += ' ';
  EXPECT_NE(identity_of(other_config), identity);
}

TEST(ImageWriter, WritesNothingOnceItsGateIsClosed) {
  const TemporaryFolder folder;
  lora_of_rank(4).write(folder.path());
  const PreparedAdapter adapter = prepare_adapter(FolderPath(folder.path()), test_base()).value();
  Pages pages(adapter.layouts.front());
  for (std::byte* page : pages.addresses) *page = std::byte{7};
  const ImagePages addresses = pages.addresses;
  Gate gate;
  ASSERT_TRUE(gate.close());
  EXPECT_EQ(write_adapter(std::span(&addresses, 1), adapter, gate).error().code, "E_READ");
  for (const std::byte* page : pages.addresses) EXPECT_EQ(*page, std::byte{7});
}

// The elements of a sparse matrix as kernels see them, added to dense [outputs, inputs] at the place of the shard.
void add_elements(std::vector<float>& dense, std::int64_t dense_cols, const ModuleCut& cut, bool splits_input, const ImageLayout& layout,
                  const AdapterRecord& record, const Pages& pages) {
  const auto tiles_of = [&](PartKind kind) {
    const StoredMatrix& stored = record.find(kind)->stored;
    return std::span(layout.tiles).subspan(static_cast<std::size_t>(stored.tile_begin), static_cast<std::size_t>(stored.tile_count));
  };
  std::vector<std::int32_t> columns;
  ASSERT_EQ(record.find(PartKind::columns)->stored.dtype, DType::u16);
  for (const ImageTile& tile : tiles_of(PartKind::columns)) {
    const auto* const from = reinterpret_cast<const std::uint16_t*>(pages.addresses[tile.place.page] + tile.place.offset);
    columns.insert(columns.end(), from, from + tile.col_count);
  }
  const std::vector<float> values = gathered(layout, record.find(PartKind::values)->stored, pages);
  const ImagePlace place = tiles_of(PartKind::row_counts).front().place;
  const auto* const ends = reinterpret_cast<const std::int32_t*>(pages.addresses[place.page] + place.offset);
  ASSERT_EQ(columns.size(), values.size());
  ASSERT_EQ(ends[record.out - 1], std::ssize(values));
  const std::int64_t row_begin = splits_input ? 0 : cut.out.begin;
  std::size_t element = 0;
  for (std::int64_t row = 0; row < record.out; ++row) {
    for (; element < static_cast<std::size_t>(ends[row]); ++element) {
      ASSERT_LT(columns[element], record.in);
      dense[static_cast<std::size_t>((row_begin + row) * dense_cols + cut.in.begin + columns[element])] += values[element];
    }
  }
}

// In pages that are smaller than the elements, in one piece and in shards, some places twice.
TEST(ImageWriter, WritesSparseMatricesRowAfterRow) {
  for (const auto& [path, out, in] : {std::tuple("model.layers.0.self_attn.v_proj", 24, 48), std::tuple(kDown1, 48, 80)}) {
    const int count = 2 * (out + in);
    LoraFixture fixture;
    fixture.config = R"({"peft_type": "SHIRA", "r": 2})";
    fixture.add(std::string(path) + ".shira_weight", {count});
    std::vector<float> indices, dense(static_cast<std::size_t>(out * in));
    const std::vector<float> values = values_of(fixture.tensors[0]);
    for (int i = 0; i < count; ++i) indices.push_back(static_cast<float>(i * 5 % out));
    for (int i = 0; i < count; ++i) indices.push_back(static_cast<float>(i * 11 % 40 * in / 40));
    for (std::size_t i = 0; i < values.size(); ++i)
      dense[static_cast<std::size_t>(indices[i]) * static_cast<std::size_t>(in) + static_cast<std::size_t>(indices[i + values.size()])] +=
          values[i];
    fixture.tensors.push_back(tensor_to_write("base_model.model." + std::string(path) + ".shira_indices", DType::f32, {2, count}, indices));
    const TemporaryFolder folder;
    fixture.write(folder.path());
    for (const std::int32_t shard_count : {1, 2}) {
      for (const AdapterFormat format : {AdapterFormat{DType::f32, 1}, AdapterFormat{DType::bf16, 2}}) {
        AdapterBase base = test_base(format, 256);
        base.modules = test_modules(shard_count);
        const PreparedAdapter adapter = prepare_adapter(FolderPath(folder.path()), base).value();
        std::vector<Pages> pages;
        for (const ImageLayout& layout : adapter.layouts) pages.emplace_back(layout);
        std::vector<ImagePages> addresses;
        for (const Pages& own : pages) addresses.emplace_back(own.addresses);
        Gate gate;
        ASSERT_TRUE(write_adapter(addresses, adapter, gate));
        const ModuleEntry& module = *base.modules.find(path);
        std::vector<float> found(dense.size());
        for (std::size_t shard = 0; shard < pages.size(); ++shard) {
          const ImageLayout& layout = adapter.layouts[shard];
          ASSERT_EQ(layout.records.size(), 1u);
          const bool is_cut = layout.records[0].find(PartKind::values)->stored.tile_count > 1;
          EXPECT_TRUE(is_cut || shard_count > 1) << "they are more than a page";
          add_elements(found, in, module.cuts[shard], module.splits_input, layout, layout.records[0], pages[shard]);
        }
        EXPECT_EQ(found, dense) << path << ", " << shard_count << " shards";
      }
    }
  }
}

}  // namespace
}  // namespace slora
