#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/adapter_modules.h"
#include "adapters/tensor_names.h"
#include "base/result.h"
#include "formats/adapter_config.h"
#include "formats/safetensors.h"

namespace slora {

// What a tensor may hold.
enum class TensorValues : std::uint8_t {
  floats,
  floats_or_none,
  integers,
  indices,  // integers, or F32, as PEFT writes them on Windows; shorter floats would have lost digits
};

// The module and the part of it that a tensor is. Without a path: of all modules of the adapter.
struct NamedPart {
  std::string path;
  PartKind kind = PartKind::a;
  bool is_saved_weight = false;  // of the base, replaced: a norm's gain, or rows of a matrix
  bool is_of_embedding = false;  // only an embedding has it
  std::uint8_t piece = 0;        // which of the tensors that the part is derived from: 0 stands for it in AdapterModule::parts
  TensorValues values = TensorValues::floats;
};

// What a tensor is by its name, whose normalised_name is `segments`; nothing when the family has no such part.
using PartNamer = std::function<std::optional<NamedPart>(const NameSegments& segments, const TensorInfo& tensor)>;

struct TensorGroups {
  std::vector<AdapterModule> modules;    // in the order of the file; what belongs to all modules is one without a path
  std::vector<std::string_view> strays;  // names of tensors that nothing computes with
};

// Assigns every tensor of the file to its module. E_EMPTY, E_DTYPE, E_FOREIGN, E_UNSUPPORTED_OPTION, E_UNKNOWN_TENSOR.
[[nodiscard]] Result<TensorGroups> group_tensors(const AdapterConfig& config, std::span<const TensorInfo> tensors,
                                                 const PartNamer& part_of);

// Whether a tensor that is no part of an adapter is a buffer, which PEFT would ignore and nothing computes with. Unknown floats may be part
// of another kind of adapter.
[[nodiscard]] bool is_stray(const TensorInfo& tensor);

// What replaces a weight of the base, or rows of it: modules_to_save, which has no marker, the copy of a weight that PEFT saves next to
// adapters of it, and, as piece kTrainedTokens, rows of trained tokens.
inline constexpr std::uint8_t kTrainedTokens = 1;
[[nodiscard]] std::optional<NamedPart> named_weight(const NameSegments& segments, const TensorInfo& tensor);
// Such a weight, or a stored bias that replaces the base's.
[[nodiscard]] std::optional<NamedPart> named_saved(const NameSegments& segments, const TensorInfo& tensor);
// "<module>.lora_A" for `ending` "lora_A".
[[nodiscard]] std::optional<std::string> module_before(const NameSegments& segments, std::string_view ending);

// A tensor that modules of a family may have, by the last component of its name.
struct PieceName {
  std::string_view name;
  PartKind kind = PartKind::a;
  std::uint8_t piece = 0;
  TensorValues values = TensorValues::floats;
};
// What a tensor is by a family's list, or what it replaces of the base.
[[nodiscard]] std::optional<NamedPart> named_piece(const NameSegments& segments, const TensorInfo& tensor,
                                                   std::span<const PieceName> names);
// The tensor of this piece, or nullptr.
[[nodiscard]] const TensorInfo* find_tensor(const AdapterModule& module, PartKind kind, std::uint8_t piece,
                                            std::span<const TensorInfo> tensors);
// E_PAIR when a module lacks a tensor of the list.
[[nodiscard]] Status check_complete(const AdapterModule& module, std::span<const PieceName> names, std::span<const TensorInfo> tensors);
// E_RANK when a module's rank is not the one that the config says.
[[nodiscard]] Status check_config_rank(const TensorInfo& tensor, std::int64_t found, std::int64_t expected);
// E_EMPTY
[[nodiscard]] tl::unexpected<Error> refuse_empty(const TensorInfo& tensor);

// Whether an adapter only replaces what the module has in the base: its bias, its weight, or rows of that.
[[nodiscard]] bool has_only_saved(const AdapterModule& module);
// Sets rank, inputs and outputs of a module by its A and B, which the family calls so; of a matrix of several blocks, which lie on its
// diagonal, the file has the blocks one below the other. E_PAIR, E_SHAPE, E_RANK.
[[nodiscard]] Status measure_matrices(AdapterModule& module, std::string_view a_name, std::string_view b_name,
                                      std::span<const TensorInfo> tensors, BlockCounts blocks = {});
// Whether A has the rank that the config says. E_RANK, E_PATTERN. Requires: the module has A.
[[nodiscard]] Status check_config_rank(const AdapterModule& module, const AdapterConfig& config, std::span<const TensorInfo> tensors);
// E_RANK when a module has more ranks than are served.
[[nodiscard]] Status check_rank(const AdapterModule& module, std::int64_t rank_max, std::string_view more = "");
// Sets a module's scale. E_SCALE when fp32 does not have it.
[[nodiscard]] Status set_scale(AdapterModule& module, double scale);
// Sets the sizes of a weight that replaces the base's and checks stored biases, of which a module without other parts has its outputs.
// E_SHAPE.
[[nodiscard]] Status measure_saved(AdapterModule& module, std::span<const TensorInfo> tensors);

// What the config says and the file does not bear out.
[[nodiscard]] std::vector<std::string> warnings_of(const TensorGroups& groups, const AdapterConfig& config);

}  // namespace slora
