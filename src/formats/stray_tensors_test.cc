#include "formats/stray_tensors.h"

#include <gtest/gtest.h>

namespace slora {
namespace {

TEST(StrayTensors, BuffersOfTheConfigAreLeftOut) {
  for (const char* name : {"model.layers.0.self_attn.rotary_emb.inv_freq", "model.rotary_emb.inv_freq", "model.causal_mask",
                           "model.layers.1.self_attn.rotary_emb.cos_cached", "model.layers.1.self_attn.masked_bias"}) {
    EXPECT_EQ(stray_tensor(name, DType::f32), StrayTensor::derived) << name;
  }
  EXPECT_EQ(stray_tensor("model.layers.0.self_attn.bias", DType::boolean), StrayTensor::derived);
}

TEST(StrayTensors, WhatNothingComputesWithIsLeftOutWithAWarning) {
  for (const char* name : {"model.layers.0.self_attn.k_scale", "model.steps_seen", "model.layers.0.self_attn.q_proj.calls_seen",
                           "model.layers.0._extra_state", "version"}) {
    EXPECT_EQ(stray_tensor(name, DType::i64), StrayTensor::unused) << name;
  }
}

TEST(StrayTensors, PartsOfOtherArchitecturesAreNot) {
  for (const char* name :
       {"model.layers.0.self_attn.q_norm.weight", "model.layers.0.mlp.experts.0.up_proj.weight", "lm_head.bias",
        "model.layers.0.self_attn.bias", "model.layers.0.self_attn.q_proj.weight_scale", "model.layers.0.mlp.gate_proj.qzeros",
        "model.layers.0.self_attn.sinks", "model.layers.0.self_attn.q_proj.SCALES", "model.layers.0.self_attn.q_proj.lora_A",
        "model.layers.0.self_attn.q_proj.weight.absmax"}) {
    EXPECT_EQ(stray_tensor(name, DType::f32), StrayTensor::foreign) << name;
  }
}

}  // namespace
}  // namespace slora
