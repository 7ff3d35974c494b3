#include "api/model_name.h"

#include <gtest/gtest.h>

namespace slora {
namespace {

TEST(ModelName, IsTheFoldersOrTheHubs) {
  EXPECT_EQ(default_model_name("/data/models/llama-3"), "llama-3");
  EXPECT_EQ(default_model_name("/data/models/llama-3/"), "llama-3");
  EXPECT_EQ(default_model_name("/root/.cache/hub/models--Qwen--Qwen2.5-0.5B/snapshots/0123abcd"), "Qwen/Qwen2.5-0.5B");
}

TEST(ModelName, IsNeverEmpty) {
  EXPECT_EQ(default_model_name("/"), "model");
  EXPECT_FALSE(default_model_name("").empty());
}

}  // namespace
}  // namespace slora
