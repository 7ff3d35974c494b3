#include "formats/quantised_weights.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "formats/safetensors_writer.h"
#include "formats/temporary_folder.h"

namespace slora {
namespace {

using ::testing::HasSubstr;

TensorToWrite zeros(std::string name, DType dtype, std::vector<std::int64_t> shape) {
  std::size_t bytes = bytes_of(dtype);
  for (const std::int64_t size : shape) bytes *= static_cast<std::size_t>(size);
  return {std::move(name), dtype, std::move(shape), std::vector<std::byte>(bytes)};
}

TensorToWrite ones(std::string name, DType dtype, std::vector<std::int64_t> shape) {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count *= size;
  return tensor_to_write(std::move(name), dtype, std::move(shape), std::vector<float>(static_cast<std::size_t>(count), 1.0f));
}

template <class T>
TensorToWrite integers(std::string name, DType dtype, const std::vector<T>& values) {
  TensorToWrite tensor = zeros(std::move(name), dtype, {static_cast<std::int64_t>(values.size())});
  std::memcpy(tensor.bytes.data(), values.data(), tensor.bytes.size());
  return tensor;
}

TensorToWrite text(std::string name, const std::string& value) {
  return integers(std::move(name), DType::u8, std::vector<char>(value.begin(), value.end()));
}

constexpr const char* kState = "m.weight.quant_state.bitsandbytes__nf4";

std::string nf4_state(const std::string& more = "") {
  return R"({"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [16, 32])" + more + "}";
}
std::string nested_state() { return nf4_state(R"(, "nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": 0.5)"); }

TensorToWrite nf4_map() {
  return tensor_to_write("m.weight.quant_map", DType::f32, {16},
                         {-1.0f, -0.69619280f, -0.52507305f, -0.39491749f, -0.28444138f, -0.18477343f, -0.09105004f, 0.0f, 0.07958030f,
                          0.16093020f, 0.24611230f, 0.33791524f, 0.44070983f, 0.56261700f, 0.72295684f, 1.0f});
}

// A weight m [16, 32] in some form: groups of 8 inputs, or blocks of 8 x 8.
struct Form {
  std::string config;
  std::vector<TensorToWrite> parts;
};

Form gptq(const std::string& more = "") {
  return {R"({"quant_method": "gptq", "bits": 4, "group_size": 8)" + more + "}",
          {zeros("m.qweight", DType::i32, {4, 16}), zeros("m.qzeros", DType::i32, {4, 2}), ones("m.scales", DType::f16, {4, 16}),
           integers<std::int32_t>("m.g_idx", DType::i32,
                                  {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3})}};
}
Form awq() {
  return {R"({"quant_method": "awq", "bits": 4, "group_size": 8})",
          {zeros("m.qweight", DType::i32, {32, 2}), zeros("m.qzeros", DType::i32, {4, 2}), ones("m.scales", DType::f16, {4, 16})}};
}
std::string compressed_config(const std::string& format, const std::string& weights, const std::string& more = "") {
  return R"({"quant_method": "compressed-tensors", "format": ")" + format +
         R"(", "ignore": ["re:.*head"], "config_groups": {"g": {"targets": ["Linear"], "weights": {)" + weights + "}" + more + "}}}";
}
Form packed(const std::string& more = "") {
  return {compressed_config("pack-quantized", R"("num_bits": 4, "type": "int", "strategy": "group", "group_size": 8)" + more),
          {zeros("m.weight_packed", DType::i32, {16, 4}), ones("m.weight_scale", DType::bf16, {16, 4}),
           integers<std::int64_t>("m.weight_shape", DType::i64, {16, 32})}};
}
Form packed_with_zeros() {
  Form form = packed(R"(, "symmetric": false)");
  form.parts.push_back(zeros("m.weight_zero_point", DType::i32, {2, 4}));
  return form;
}
Form bytes_of_channels() {
  return {compressed_config("int-quantized", R"("num_bits": 8, "type": "int", "strategy": "channel")"),
          {zeros("m.weight", DType::i8, {16, 32}), ones("m.weight_scale", DType::bf16, {16, 1})}};
}
Form floats_of_tensor() {
  return {compressed_config("float-quantized", R"("num_bits": 8, "type": "float", "strategy": "tensor")"),
          {zeros("m.weight", DType::f8_e4m3, {16, 32}), ones("m.weight_scale", DType::bf16, {1}), ones("m.input_scale", DType::bf16, {1})}};
}
Form fp8() {
  return {R"({"quant_method": "fp8", "weight_block_size": [8, 8]})",
          {zeros("m.weight", DType::f8_e4m3, {16, 32}), ones("m.weight_scale_inv", DType::f32, {2, 4})}};
}
Form nf4() {
  return {R"({"quant_method": "bitsandbytes", "load_in_4bit": true, "bnb_4bit_quant_type": "nf4", "llm_int8_skip_modules": ["head"]})",
          {zeros("m.weight", DType::u8, {256, 1}), ones("m.weight.absmax", DType::f32, {8}), nf4_map(), text(kState, nf4_state())}};
}
Form nested_nf4() {
  return {nf4().config,
          {zeros("m.weight", DType::u8, {256, 1}), zeros("m.weight.absmax", DType::u8, {8}), nf4_map(), text(kState, nested_state()),
           ones("m.weight.nested_absmax", DType::f32, {1}), ones("m.weight.nested_quant_map", DType::f32, {256})}};
}

Form without(Form form, const std::string& part) {
  EXPECT_EQ(std::erase_if(form.parts, [&](const TensorToWrite& tensor) { return tensor.name == part; }), 1u) << part;
  return form;
}
// Adds a tensor, or replaces the one of its name.
Form with(Form form, TensorToWrite part) {
  std::erase_if(form.parts, [&](const TensorToWrite& tensor) { return tensor.name == part.name; });
  form.parts.push_back(std::move(part));
  return form;
}
Form configured(Form form, const std::string& from, const std::string& to) {
  const std::size_t at = form.config.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  if (at != std::string::npos) form.config.replace(at, from.size(), to);
  return form;
}
Form with_number(Form form, const std::string& part, std::size_t at, float number) {
  for (TensorToWrite& tensor : form.parts) {
    if (tensor.name == part) convert_from_float(tensor.bytes.data() + at * bytes_of(tensor.dtype), tensor.dtype, &number, 1);
  }
  return form;
}

// Of a weight that is symmetric, all but one of them 0.
TensorToWrite zero_points(std::uint8_t other) {
  TensorToWrite points = zeros("m.weight_zero_point", DType::i8, {16, 4});
  points.bytes[21] = std::byte{other};
  return points;
}

// What is said of it when it is opened and read.
std::string outcome(const Form& form) {
  const TemporaryFolder folder;
  EXPECT_TRUE(write_safetensors(folder.file("model.safetensors"), form.parts));
  ModelFiles files = ModelFiles::open(folder.path()).value();
  const Result<QuantizationConfig> config = parse_quantization_config(parse_json(form.config).value());
  if (!config) return config.error().code + ": " + config.error().message;
  const Result<QuantisedWeights> quantised = read_quantised_weights(files, *config);
  if (!quantised) return quantised.error().code + ": " + quantised.error().message;
  const ModelTensor* weight = files.find("m.weight");
  if (weight == nullptr) return "no weight";
  if (files.tensors().size() != 1) return "further tensors";
  std::vector<std::byte> bytes(weight->info.bytes);
  if (const Status read = files.read(*weight, bytes); !read) return read.error().code + ": " + read.error().message;
  return fmt::format("{} [{}]", name_of(weight->info.dtype), fmt::join(weight->info.shape, ", "));
}

TEST(QuantisedWeights, AreReadInEveryForm) {
  EXPECT_EQ(outcome(gptq()), "F16 [16, 32]");
  EXPECT_EQ(outcome(without(gptq(), "m.g_idx")), "F16 [16, 32]");
  EXPECT_EQ(outcome(awq()), "F16 [16, 32]");
  EXPECT_EQ(outcome(packed()), "BF16 [16, 32]");
  EXPECT_EQ(outcome(packed_with_zeros()), "BF16 [16, 32]");
  EXPECT_EQ(outcome(with(packed(), zero_points(0))), "BF16 [16, 32]") << "zeros of a symmetric weight";
  EXPECT_EQ(outcome(bytes_of_channels()), "BF16 [16, 32]");
  EXPECT_EQ(outcome(with(bytes_of_channels(), ones("m.weight_scale", DType::bf16, {16}))), "BF16 [16, 32]");
  EXPECT_EQ(outcome(floats_of_tensor()), "BF16 [16, 32]");
  EXPECT_EQ(outcome(with(floats_of_tensor(), ones("m.weight_scale", DType::f32, {}))), "F32 [16, 32]");
  EXPECT_EQ(outcome(fp8()), "F32 [16, 32]");
  EXPECT_EQ(outcome(nf4()), "BF16 [16, 32]");
  EXPECT_EQ(outcome(with(nf4(), zeros("m.weight", DType::bf16, {128, 1}))), "BF16 [16, 32]") << "the storage's type means nothing";
  EXPECT_EQ(outcome(nested_nf4()), "BF16 [16, 32]");
}

struct BrokenForm {
  Form form;
  const char* message;
};

void expect_refusals(const std::vector<BrokenForm>& broken) {
  for (const BrokenForm& form : broken) EXPECT_THAT(outcome(form.form), HasSubstr(form.message)) << form.form.config;
}

TEST(QuantisedWeights, OfGptqAndAwqAreRefusedByNameWhereTheyAreBroken) {
  expect_refusals({
      {without(gptq(), "m.qzeros"),
       R"(E_MISSING_TENSOR: tensor "m.qzeros": expected next to "m.qweight", "m.scales", "m.g_idx", found none)"},
      {without(gptq(), "m.scales"), R"(E_MISSING_TENSOR: tensor "m.scales")"},
      {without(gptq(R"(, "desc_act": true)"), "m.g_idx"), R"(E_MISSING_TENSOR: tensor "m.g_idx")"},
      {with(gptq(), ones("m.qweight", DType::f16, {4, 16})), R"("m.qweight": expected I32, found F16)"},
      {with(gptq(), zeros("m.qweight", DType::i32, {64})), R"("m.qweight": expected a matrix, found [64])"},
      {with(gptq(), zeros("m.qweight", DType::i32, {0, 16})), R"("m.qweight": expected a matrix, found [0, 16])"},
      {with(gptq(), zeros("m.qweight", DType::i32, {4, 20})), R"("m.qweight": expected a multiple of 8 outputs, found 20)"},
      {with(gptq(), zeros("m.qweight", DType::i32, {4, 24})), R"("m.scales": expected [4, 24], found [4, 16])"},
      {with(gptq(), zeros("m.qweight", DType::i32, {5, 16})), R"("m.scales": expected [5, 16], found [4, 16])"},
      {with(gptq(), zeros("m.scales", DType::i32, {4, 16})), R"("m.scales": expected F16 or BF16 or F32, found I32)"},
      {with(gptq(), zeros("m.qzeros", DType::i32, {4, 16})), R"("m.qzeros": expected [4, 2], found [4, 16])"},
      {with(gptq(), zeros("m.qzeros", DType::i64, {4, 2})), R"("m.qzeros": expected I32, found I64)"},
      {with(gptq(), zeros("m.g_idx", DType::i32, {16})), R"("m.g_idx": expected [32], found [16])"},
      {with(gptq(), zeros("m.g_idx", DType::f32, {32})), R"("m.g_idx": expected I32 or I64, found F32)"},
      {with(gptq(), integers("m.g_idx", DType::i32, std::vector<std::int32_t>(32, 4))),
       R"(E_RANGE: model.safetensors: tensor "m.g_idx": expected 0 to 3, found 4 at 0)"},
      {with(gptq(), integers("m.g_idx", DType::i32, std::vector<std::int32_t>(32, -1))), R"("m.g_idx": expected 0 to 3, found -1 at 0)"},
      {with(gptq(), integers("m.g_idx", DType::i64, std::vector<std::int64_t>(32, std::int64_t{1} << 40))),
       R"("m.g_idx": expected at most 2147483647)"},
      {configured(gptq(), "8", "16"), R"("m.scales": expected [2, 16], found [4, 16])"},
      {configured(gptq(), R"("bits": 4)", R"("bits": 8)"), R"("m.scales": expected [2, 16], found [4, 16])"},
      {with(gptq(), ones("m.weight", DType::f16, {16, 32})), R"("m.weight": expected none next to qweight, found one)"},
      {with_number(gptq(), "m.scales", 63, INFINITY),
       R"(E_NONFINITE: model.safetensors: tensor "m.scales": expected finite numbers, found inf)"},
      {with_number(gptq(), "m.scales", 0, NAN), R"(E_NONFINITE: model.safetensors: tensor "m.scales")"},
      {gptq(R"(, "modules_to_not_convert": ["m"])"), R"("m": expected a plain weight)"},
      {without(awq(), "m.qzeros"), R"(E_MISSING_TENSOR: tensor "m.qzeros")"},
      {without(awq(), "m.scales"), R"(E_MISSING_TENSOR: tensor "m.scales")"},
      {with(awq(), zeros("m.qweight", DType::i32, {32, 4})), R"("m.scales": expected [4, 32], found [4, 16])"},
      {with(awq(), zeros("m.qweight", DType::i16, {32, 4})), R"("m.qweight": expected I32, found I16)"},
      {with(awq(), zeros("m.qzeros", DType::i32, {3, 2})), R"("m.qzeros": expected [4, 2], found [3, 2])"},
      {with_number(awq(), "m.scales", 17, -INFINITY), R"(E_NONFINITE: model.safetensors: tensor "m.scales")"},
  });
}

TEST(QuantisedWeights, OfCompressedTensorsAndFp8AreRefusedByNameWhereTheyAreBroken) {
  expect_refusals({
      {without(packed(), "m.weight_shape"), R"(E_MISSING_TENSOR: tensor "m.weight_shape")"},
      {without(packed(), "m.weight_scale"), R"(E_MISSING_TENSOR: tensor "m.weight_scale")"},
      {without(packed_with_zeros(), "m.weight_zero_point"), R"(E_MISSING_TENSOR: tensor "m.weight_zero_point")"},
      {packed(R"(, "actorder": "group")"), R"(E_MISSING_TENSOR: tensor "m.weight_g_idx")"},
      {with(packed(), integers<std::int32_t>("m.weight_g_idx", DType::i32, std::vector<std::int32_t>(32))),
       R"("m.weight_g_idx": expected 8 inputs of each group, found 32 of group 0)"},
      {with(packed(), integers<std::int64_t>("m.weight_shape", DType::i64, {16, 0})),
       R"("m.weight_shape": expected two sizes, found [16, 0])"},
      {with(packed(), integers<std::int64_t>("m.weight_shape", DType::i64, {16, -32})), R"("m.weight_shape": expected two sizes)"},
      {with(packed(), integers<std::int64_t>("m.weight_shape", DType::i64, {16, 1LL << 62})),
       R"("m.weight_shape": expected at most 2147483647)"},
      {with(packed(), integers<std::int64_t>("m.weight_shape", DType::i64, {16, 40})),
       R"("m.weight_packed": expected [16, 5], found [16, 4])"},
      {with(packed(), integers<std::int64_t>("m.weight_shape", DType::i64, {16, 31})), R"(expected whole groups of 8 inputs, found 31)"},
      {with(packed(), integers<std::int64_t>("m.weight_shape", DType::i64, {16})), R"("m.weight_shape": expected [2], found [1])"},
      {with(packed(), ones("m.weight_scale", DType::bf16, {16, 1})), R"("m.weight_scale": expected [16, 4], found [16, 1])"},
      {with(packed_with_zeros(), zeros("m.weight_zero_point", DType::i32, {16, 4})),
       R"("m.weight_zero_point": expected [2, 4], found [16, 4])"},
      {with_number(packed(), "m.weight_scale", 5, NAN), R"(E_NONFINITE: model.safetensors: tensor "m.weight_scale")"},
      {configured(packed(), R"("Linear")", R"("re:.*down")"), R"("m": expected a plain weight)"},
      {configured(packed(), "re:.*head", "m"), R"("m": expected a plain weight)"},
      {without(bytes_of_channels(), "m.weight_scale"),
       R"(E_MISSING_TENSOR: tensor "m.weight_scale": expected next to "m.weight", found none)"},
      {with(bytes_of_channels(), zeros("m.weight", DType::f8_e4m3, {16, 32})), R"("m.weight": expected I8, found F8_E4M3)"},
      {with(bytes_of_channels(), ones("m.weight_scale", DType::bf16, {32, 1})), R"("m.weight_scale": expected [16, 1], found [32, 1])"},
      {with(bytes_of_channels(), integers<std::int32_t>("m.weight_g_idx", DType::i32, std::vector<std::int32_t>(32))),
       R"("m.weight_g_idx": expected none next to bytes, found one)"},
      {with(packed(), zero_points(1)), R"("m.weight_zero_point": expected zeros, as the "quantization_config" says)"},
      {with(floats_of_tensor(), zeros("m.weight", DType::f8_e5m2, {16, 32})), R"("m.weight": expected F8_E4M3, found F8_E5M2)"},
      {with(floats_of_tensor(), ones("m.weight_scale", DType::bf16, {3})), R"("m.weight_scale": expected [1, 1], found [3])"},
      {without(fp8(), "m.weight_scale_inv"), R"(E_MISSING_TENSOR: tensor "m.weight_scale_inv")"},
      {with(fp8(), zeros("m.weight_scale_inv", DType::u8, {2, 4})), R"("m.weight_scale_inv": expected F16 or BF16 or F32, found U8)"},
      {with(fp8(), ones("m.weight_scale_inv", DType::f32, {4, 2})), R"("m.weight_scale_inv": expected [2, 4], found [4, 2])"},
  });
}

TEST(QuantisedWeights, OfBitsandbytesAreRefusedByNameWhereTheyAreBroken) {
  expect_refusals({
      {without(nf4(), kState), R"(E_MISSING_TENSOR: tensor "m.weight.quant_state.bitsandbytes__nf4")"},
      {without(nf4(), "m.weight.absmax"), R"(E_MISSING_TENSOR: tensor "m.weight.absmax")"},
      {without(nf4(), "m.weight.quant_map"), R"(E_MISSING_TENSOR: tensor "m.weight.quant_map")"},
      {with(without(nf4(), kState), text("m.weight.quant_state.bitsandbytes__fp4", "{}")), R"("m.weight": expected NF4, found FP4)"},
      {with(nf4(), text(kState, "{")), "E_BAD_JSON"},
      {with(nf4(), text(kState, "[]")), "E_BAD_JSON"},
      {with(nf4(), text(kState, R"({"quant_type": "fp4", "dtype": "float32"})")), R"(expected "quant_type" nf4, found "fp4")"},
      {with(nf4(), text(kState, R"({"quant_type": "nf4", "dtype": "int8"})")),
       R"(expected "dtype" float32, float16 or bfloat16, found "int8")"},
      {with(nf4(), text(kState, R"({"quant_type": "nf4", "dtype": "float32", "blocksize": 0})")), R"(expected "blocksize" 32, 64)"},
      {with(nf4(), text(kState, R"({"quant_type": "nf4", "dtype": "float32", "blocksize": 64, "shape": [512]})")),
       R"(expected "shape" of two sizes)"},
      {with(nf4(), text(kState, R"({"quant_type": "nf4", "dtype": "float32", "blocksize": 64, "shape": [4294967296, 4294967296]})")),
       R"(expected "shape" of two sizes)"},
      {with(nf4(), zeros("m.weight", DType::u8, {255, 1})), R"("m.weight": expected 256 bytes of 512 numbers, found 255)"},
      {with(nf4(), ones("m.weight.absmax", DType::f32, {9})), R"("m.weight.absmax": expected [8], found [9])"},
      {with_number(nf4(), "m.weight.absmax", 3, NAN), R"(E_NONFINITE: model.safetensors: tensor "m.weight.absmax")"},
      {with_number(nf4(), "m.weight.quant_map", 3, 0.5f), R"("m.weight.quant_map": expected -0.3949175 at 3, as in NF4, found 0.5)"},
      {without(nested_nf4(), "m.weight.nested_absmax"), R"(E_MISSING_TENSOR: tensor "m.weight.nested_absmax")"},
      {without(nested_nf4(), "m.weight.nested_quant_map"), R"(E_MISSING_TENSOR: tensor "m.weight.nested_quant_map")"},
      {with(nested_nf4(), text(kState, nf4_state())), R"(nested_blocksize)"},
      {with_number(nested_nf4(), "m.weight.nested_absmax", 0, INFINITY),
       R"(E_NONFINITE: model.safetensors: tensor "m.weight.nested_absmax")"},
  });
}

TEST(QuantisedWeights, AreReadFromNothingBeyondTheirTensors) {
  Form form = gptq();
  form.parts[0].bytes.assign(form.parts[0].bytes.size(), std::byte{0x99});  // codes 9; zeros are 1
  const TemporaryFolder folder;
  ASSERT_TRUE(write_safetensors(folder.file("model.safetensors"), form.parts));
  ModelFiles files = ModelFiles::open(folder.path()).value();
  ASSERT_TRUE(read_quantised_weights(files, parse_quantization_config(parse_json(form.config).value()).value()));
  const ModelTensor& weight = *files.find("m.weight");
  for (std::uint64_t row = 0; row < 16; ++row) {
    std::vector<Float16> numbers(32);
    ASSERT_TRUE(files.read_part(weight, row * 64, std::as_writable_bytes(std::span(numbers))));
    for (const Float16 number : numbers) ASSERT_EQ(to_float(number), 8.0f) << row;
  }
}

}  // namespace
}  // namespace slora
