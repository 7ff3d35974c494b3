#include "ops/tiled_matrix.h"

#include <gtest/gtest.h>

#include <array>

namespace slora {
namespace {

TEST(TiledMatrix, IsEmptyWithoutTiles) {
  EXPECT_TRUE(TiledMatrix{}.empty());
  const std::array<Tile, 2> tiles = {Tile{nullptr, 0, 1, 0, 8}, Tile{nullptr, 1, 1, 0, 8}};
  const TiledMatrix matrix{tiles.data(), 2, 2, 8, DType::bf16};
  EXPECT_EQ(matrix.end() - matrix.begin(), 2);
}

}  // namespace
}  // namespace slora
