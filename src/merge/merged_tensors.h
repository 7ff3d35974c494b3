#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "adapters/adapter_record.h"
#include "base/result.h"
#include "formats/model_folder.h"
#include "formats/module_table.h"

namespace slora {

// What a record means for a tensor.
enum class MergedUse : std::uint8_t {
  product,    // [out, in], W of a linear module
  embedding,  // [vocabulary, hidden]
  gain,       // [hidden] of a norm
  bias,       // [out] of a linear module
};

// A tensor of a merged model, and what it is made of.
struct MergedTensor {
  std::string name;
  MergedUse use{};
  std::vector<std::int64_t> shape;
  const ModelTensor* base = nullptr;      // null: the base has none, as if it held zeros
  const ModelTensor* neighbor = nullptr;  // the tensor of the base whose file it goes to, after that tensor
  const AdapterRecord* record = nullptr;  // null: it stays as it is
};

// The tensors of a merged model, and what its config has to say of them that the base's doesn't. Borrows the base and the records.
struct MergedTensors {
  std::vector<MergedTensor> tensors;
  bool unties_embeddings = false;
  bool adds_attention_biases = false;
  bool adds_mlp_biases = false;
};

// Of an adapter's records. A bias that the base's architecture does not have is refused, and so is what merging does not know of a record:
// E_UNSUPPORTED_OPTION. Requires: the base's files have the tensors of its config, the table is the base's, in one piece; the records'
// parts are whole.
[[nodiscard]] Result<MergedTensors> plan_merged_tensors(const ModelFolder& base, const ModuleTable& table,
                                                        std::span<const AdapterRecord> records);

}  // namespace slora
