#include "formats/nf4_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "formats/json.h"
#include "tensor/nf4.h"

namespace slora {
namespace {

constexpr std::string_view kState = "weight.quant_state.bitsandbytes__nf4";
constexpr std::uint64_t kStateBytesMax = 1 << 16;
constexpr std::array kBytes = {DType::u8};
constexpr std::array kFloat32 = {DType::f32};
// "bnb_4bit_quant_storage": the same bytes as elements of another type.
constexpr std::array kStorage = {DType::u8, DType::i8, DType::f16, DType::bf16, DType::f32};
constexpr float kMapDifferenceMax = 1e-6f;

std::int64_t block_count(std::int64_t count, std::int64_t size) { return count / size + (count % size == 0 ? 0 : 1); }

class Nf4Assembler {
 public:
  explicit Nf4Assembler(const WeightParts& parts) : parts_(parts) {}

  Result<Nf4Parts> assemble() && {
    for (const auto take : {&Nf4Assembler::read_state, &Nf4Assembler::take_codes, &Nf4Assembler::check_map, &Nf4Assembler::take_absmax}) {
      if (Status taken = (this->*take)(); !taken) return forward_error(taken);
    }
    return std::move(out_);
  }

 private:
  tl::unexpected<Error> refuse_state(const Error& why) const {
    return parts_.refuse(why.code, kState, "the JSON of a state of NF4", why.message);
  }

  Status read_state() {
    if (!parts_.has(kState) && parts_.has("weight.quant_state.bitsandbytes__fp4"))
      return parts_.refuse("E_UNSUPPORTED_MODEL", "weight", "NF4", "FP4");
    Result<StoredTensor> stored = parts_.require_vector(kState, kBytes, kStateBytesMax);
    if (!stored) return forward_error(stored);
    std::string text(stored->info.bytes, '\0');
    if (Status read = stored->read_part(0, std::as_writable_bytes(std::span(text))); !read) return read;
    Result<Json> state = parse_json(text, {.bytes_max = kStateBytesMax, .depth_max = 4, .values_max = 64});
    if (!state) return refuse_state(state.error());
    if (!state->is_object()) return refuse_state({"E_BAD_JSON", std::string(type_name(*state)), {}});
    state_ = std::move(*state);
    const Result<std::string> type = string_at(state_, "quant_type"), dtype = string_at(state_, "dtype");
    if (!type) return refuse_state(type.error());
    if (!dtype) return refuse_state(dtype.error());
    if (*type != "nf4") return parts_.refuse("E_UNSUPPORTED_MODEL", kState, "\"quant_type\" nf4", quote(*type));
    constexpr std::array<std::pair<std::string_view, DType>, 3> kTypes = {
        {{"float32", DType::f32}, {"float16", DType::f16}, {"bfloat16", DType::bf16}}};
    const auto known = std::ranges::find(kTypes, *dtype, &std::pair<std::string_view, DType>::first);
    if (known == kTypes.end()) return parts_.refuse("E_UNSUPPORTED_MODEL", kState, "\"dtype\" float32, float16 or bfloat16", quote(*dtype));
    out_.matrix.dtype = known->second;
    const Result<std::int64_t> block = integer_at(state_, "blocksize");
    if (!block) return refuse_state(block.error());
    constexpr std::array<std::int64_t, 8> kBlocks = {32, 64, 128, 256, 512, 1024, 2048, 4096};
    if (std::ranges::find(kBlocks, *block) == kBlocks.end())
      return parts_.refuse("E_UNSUPPORTED_MODEL", kState, fmt::format("\"blocksize\" {}", fmt::join(kBlocks, ", ")),
                           fmt::format("{}", *block));
    out_.matrix.block_elements = *block;
    return read_shape();
  }

  Status read_shape() {
    constexpr std::int64_t kSizeMax = std::int64_t{1} << 31;
    const Json* shape = find_member(state_, "shape");
    const auto is_size = [](const Json& size) { return size.is_number_integer() && size >= 1 && size < kSizeMax; };
    if (shape == nullptr || !shape->is_array() || shape->size() != 2 || !std::ranges::all_of(*shape, is_size))
      return parts_.refuse("E_SHAPE", kState, "\"shape\" of two sizes", shape == nullptr ? "nothing" : shown(*shape));
    out_.shape = shape->get<std::vector<std::int64_t>>();
    out_.matrix.row_elements = out_.shape[1];
    out_.matrix.count = out_.shape[0] * out_.shape[1];
    return {};
  }

  Status take_codes() {
    Result<StoredTensor> codes = parts_.require_matrix("weight", kStorage);
    if (!codes) return forward_error(codes);
    const auto bytes = static_cast<std::uint64_t>(block_count(out_.matrix.count, 2));
    const std::uint64_t element = bytes_of(codes->info.dtype);
    if (codes->info.bytes != (bytes + element - 1) / element * element)
      return parts_.refuse("E_SHAPE", "weight", fmt::format("{} bytes of {} numbers", bytes, out_.matrix.count),
                           fmt::format("{}", codes->info.bytes));
    out_.matrix.code_part = std::move(*codes);
    return {};
  }

  // bitsandbytes computes with its own values, whatever the file says.
  Status check_map() {
    const Result<std::vector<float>> map = parts_.floats("weight.quant_map", std::ssize(nf4_fractions()));
    if (!map) return tl::unexpected(map.error());
    for (std::size_t i = 0; i < map->size(); ++i) {
      if (!(std::abs((*map)[i] - nf4_fractions()[i]) <= kMapDifferenceMax))
        return parts_.refuse("E_UNSUPPORTED_MODEL", "weight.quant_map", fmt::format("{} at {}, as in NF4", nf4_fractions()[i], i),
                             fmt::format("{}", (*map)[i]));
    }
    return {};
  }

  Status take_absmax() {
    const std::int64_t blocks = block_count(out_.matrix.count, out_.matrix.block_elements);
    const std::array<std::vector<std::int64_t>, 1> shapes = {{{blocks}}};
    const bool is_nested = parts_.has("weight.nested_absmax") || state_.contains("nested_offset");
    Result<StoredTensor> absmax = parts_.require("weight.absmax", is_nested ? kBytes : kFloat32, shapes);
    if (!absmax) return forward_error(absmax);
    out_.matrix.absmax_part = std::move(*absmax);
    return is_nested ? take_nested(blocks) : Status();
  }

  Status take_nested(std::int64_t blocks) {
    const Result<std::int64_t> block = integer_at(state_, "nested_blocksize");
    if (!block) return refuse_state(block.error());
    if (*block != kNestedBlockElements)
      return parts_.refuse("E_UNSUPPORTED_MODEL", kState, fmt::format("\"nested_blocksize\" {}", kNestedBlockElements),
                           fmt::format("{}", *block));
    const Result<std::string> dtype = string_at(state_, "nested_dtype");
    if (!dtype) return refuse_state(dtype.error());
    if (*dtype != "float32") return parts_.refuse("E_UNSUPPORTED_MODEL", kState, "\"nested_dtype\" float32", quote(*dtype));
    const Result<std::optional<double>> offset = optional_number_at(state_, "nested_offset");
    if (!offset) return refuse_state(offset.error());
    if (!*offset) return parts_.refuse("E_BAD_JSON", kState, "\"nested_offset\"", "none");
    Result<std::vector<float>> map = parts_.floats("weight.nested_quant_map", 256);
    if (!map) return forward_error(map);
    Result<std::vector<float>> nested = parts_.floats("weight.nested_absmax", block_count(blocks, kNestedBlockElements));
    if (!nested) return forward_error(nested);
    out_.matrix.nested = {std::move(*map), std::move(*nested), static_cast<float>(**offset)};
    return {};
  }

  const WeightParts& parts_;
  Json state_;
  Nf4Parts out_;
};

}  // namespace

Result<Nf4Parts> assemble_nf4(const WeightParts& parts) { return Nf4Assembler(parts).assemble(); }

}  // namespace slora
