#include "adapters/block_diagonal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/testing/family_import.h"

namespace slora {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr const char* kBdQ = "model.layers.0.self_attn.q_proj";  // 48 inputs, 48 outputs
constexpr const char* kBdV = "model.layers.0.self_attn.v_proj";  // 48 inputs, 24 outputs

// A of q_proj and B of v_proj in blocks.
LoraFixture bdlora(int blocks) {
  LoraFixture fixture;
  fixture.config = R"({"peft_type": "LORA", "r": 4, "lora_alpha": 8, "use_bdlora": {"target_modules_bd_a": ["q_proj"],
                       "target_modules_bd_b": ["v_proj"], "nblocks": )" +
                   std::to_string(blocks) + "}}";
  fixture.add(std::string(kBdQ) + ".lora_A.weight", {4, 48 / blocks}).add(std::string(kBdQ) + ".lora_B.weight", {48, 4});
  return fixture.add(std::string(kBdV) + ".lora_A.weight", {4, 48}).add(std::string(kBdV) + ".lora_B.weight", {24, 4 / blocks});
}

// What lies in the blocks of a derived matrix [rows, cols] one below the other; everything else must be 0.
std::vector<float> blocks_in(const std::vector<float>& matrix, std::size_t rows, std::size_t cols, std::size_t blocks) {
  std::vector<float> found;
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t col = 0; col < cols; ++col) {
      const bool is_in_block = row / (rows / blocks) == col / (cols / blocks);
      if (is_in_block) found.push_back(matrix.at(row * cols + col));
      EXPECT_TRUE(is_in_block || matrix.at(row * cols + col) == 0.0f) << row << ", " << col;
    }
  }
  return found;
}

TEST(BlockDiagonal, HasTheBlocksOfTheFileAndZerosElsewhere) {
  for (const int blocks : {2, 4}) {
    const LoraFixture fixture = bdlora(blocks);
    const AdapterPlan plan = import_adapter(fixture).value();
    ASSERT_EQ(plan.records.size(), 2u);
    const AdapterRecord &q = plan.records[0], &v = plan.records[1];
    EXPECT_EQ(q.rank, 4);
    EXPECT_FALSE(q.is_general()) << "it is LoRA";
    const auto count = static_cast<std::size_t>(blocks);
    EXPECT_EQ(blocks_in(derived_values(fixture, plan, q, PartKind::a), 4, 48, count), numbers_of(fixture.tensors[0]));
    EXPECT_EQ(tensor_of(q, PartKind::b), 1) << "as it is in the file";
    EXPECT_EQ(tensor_of(v, PartKind::a), 2);
    EXPECT_EQ(blocks_in(derived_values(fixture, plan, v, PartKind::b), 24, 4, count), numbers_of(fixture.tensors[3]));
  }
}

TEST(BlockDiagonal, OfOneBlockIsTheMatrixOfTheFile) {
  const AdapterPlan plan = import_adapter(bdlora(1)).value();
  EXPECT_TRUE(plan.derived.empty());
}

TEST(BlockDiagonal, ComputesAnyRows) {
  const LoraFixture fixture = bdlora(4);
  const TemporaryFolder folder;
  fixture.write(folder.path());
  const SafetensorsFile file = SafetensorsFile::open(folder.file("adapter_model.safetensors")).value();
  const BlockDiagonal matrix(file.tensors()[3], 4);
  std::vector<float> whole(24 * 4), part(5 * 4);
  ASSERT_TRUE(matrix.compute(whole.data(), file, 0, 24, open_gate()));
  for (std::int64_t row = 0; row + 5 <= 24; ++row) {
    ASSERT_TRUE(matrix.compute(part.data(), file, row, 5, open_gate()));
    EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + row * 4)) << row;
  }
}

TEST(BlockDiagonal, RefusesBlocksThatDoNotFit) {
  LoraFixture fixture = bdlora(2);
  fixture.tensors[0].shape = {2, 48};
  EXPECT_THAT(refusal_of(fixture), AllOf(StartsWith("E_RANK"), HasSubstr("lora_B")));
  fixture = bdlora(2);
  fixture.tensors[3].shape = {12, 4};
  EXPECT_THAT(refusal_of(fixture), AllOf(StartsWith("E_RANK"), HasSubstr("2 blocks")));
  fixture = bdlora(2);
  fixture.config = bdlora(3).config;
  EXPECT_THAT(refusal_of(fixture), AllOf(StartsWith("E_SHAPE"), HasSubstr("3 equal blocks")));
}

}  // namespace
}  // namespace slora
