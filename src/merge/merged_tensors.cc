#include "merge/merged_tensors.h"

#include <algorithm>
#include <array>
#include <map>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "formats/json.h"
#include "formats/model_tensors.h"

namespace slora {
namespace {

bool has_bias(const AdapterRecord* record) {
  return record != nullptr && (record->find(PartKind::bias_added) != nullptr || record->find(PartKind::bias_replacing) != nullptr);
}

// A kind of part that is new must not be left out in silence.
Status check_known(const AdapterRecord& record, const std::string& module) {
  constexpr std::array kKnown = {PartKind::a,      PartKind::b,          PartKind::row_counts,     PartKind::columns,
                                 PartKind::values, PartKind::input_gain, PartKind::rank_gain,      PartKind::delta_gain,
                                 PartKind::gain,   PartKind::bias_added, PartKind::bias_replacing, PartKind::rows,
                                 PartKind::row_ids};
  const auto is_known = [&](const AdapterPart& part) { return std::ranges::find(kKnown, part.kind) != kKnown.end(); };
  const bool knows_low_rank = record.low_rank == LowRank::sum || record.low_rank == LowRank::hadamard;
  if (knows_low_rank && std::ranges::all_of(record.parts, is_known)) return {};
  return error("E_UNSUPPORTED_OPTION", "{}: the adapter changes it in a way that can't be merged", quote(module));
}

// Whether both replace the same rows by the same numbers and do nothing else, so that a table that both read can stay one.
bool replace_the_same_rows(const AdapterRecord* a, const AdapterRecord* b) {
  if (a == nullptr || b == nullptr || a->parts.empty()) return false;
  return std::ranges::equal(a->parts, b->parts, [](const AdapterPart& x, const AdapterPart& y) {
    const bool is_of_rows = x.kind == PartKind::rows || x.kind == PartKind::row_ids;
    return is_of_rows && x.kind == y.kind && x.source == y.source;
  });
}

class Planner {
 public:
  Planner(const ModelFolder& base, const ModuleTable& table) : base_(base), table_(table), tensors_(make_model_tensors(base.config)) {}

  Result<MergedTensors> plan(std::span<const AdapterRecord> records) {
    for (const AdapterRecord& record : records) {
      const std::string& module = module_of(record);
      if (Status known = check_known(record, module); !known) return forward_error(known);
      records_[module] = &record;
    }
    if (Status decided = decide_biases(); !decided) return forward_error(decided);
    for (const TensorEntry& entry : tensors_.entries) {
      if (entry.site.kind == SiteKind::head && entry.role == TensorRole::product && table_.ties_embeddings) {
        add_tied_tables(entry);
        continue;
      }
      const ModelTensor& weight = tensor_of(entry.stored_as + ".weight");
      add(weight, use_of(entry), record_of(entry.module));
      if (wants_bias(entry)) add_bias(entry, weight);
    }
    return std::move(out_);
  }

 private:
  [[nodiscard]] const std::string& module_of(const AdapterRecord& record) const {
    if (record.module != kNoModule) return table_.modules[static_cast<std::size_t>(record.module)].path;
    const auto other = std::ranges::find(table_.others, record.site, &OtherModule::site);
    check(other != table_.others.end(), "expected a record of the base");
    return other->path;
  }

  [[nodiscard]] const AdapterRecord* record_of(const std::string& module) const {
    const auto found = records_.find(module);
    return found != records_.end() ? found->second : nullptr;
  }

  [[nodiscard]] const ModelTensor& tensor_of(const std::string& name) const {
    const ModelTensor* const tensor = base_.files.find(name);
    check(tensor != nullptr, "expected the files to have the tensors of the config");
    return *tensor;
  }

  static MergedUse use_of(const TensorEntry& entry) {
    if (entry.role == TensorRole::product) return MergedUse::product;
    return entry.role == TensorRole::embedding ? MergedUse::embedding : MergedUse::gain;
  }

  static bool is_mlp(const TensorEntry& entry) { return entry.site.kind == SiteKind::gate_up || entry.site.kind == SiteKind::down; }

  // A config has one flag for the biases of several modules in all layers. E_UNSUPPORTED_OPTION where it has none.
  Status decide_biases() {
    for (const TensorEntry& entry : tensors_.entries) {
      if (entry.role != TensorRole::product || entry.has_bias || !has_bias(record_of(entry.module))) continue;
      const Family family = base_.config.family;
      if (bias_key_of(family, entry.site.kind).empty()) {
        return error("E_UNSUPPORTED_OPTION", "{}: the adapter gives it a bias, and the config of a {} model cannot say that it has one",
                     quote(entry.module), name_of(family));
      }
      (is_mlp(entry) ? out_.adds_mlp_biases : out_.adds_attention_biases) = true;
    }
    return {};
  }

  [[nodiscard]] bool wants_bias(const TensorEntry& entry) const {
    if (entry.role != TensorRole::product || entry.site.kind == SiteKind::head) return false;
    return entry.has_bias || (is_mlp(entry) ? out_.adds_mlp_biases : out_.adds_attention_biases);
  }

  void add(const ModelTensor& base, MergedUse use, const AdapterRecord* record) {
    out_.tensors.push_back({base.info.name, use, base.info.shape, &base, &base, record});
  }

  void add_bias(const TensorEntry& entry, const ModelTensor& weight) {
    const AdapterRecord* const record = record_of(entry.module);
    const std::string name = entry.stored_as + ".bias";
    out_.tensors.push_back({name,
                            MergedUse::bias,
                            {entry.rows},
                            entry.has_bias ? &tensor_of(name) : nullptr,
                            entry.has_bias ? &tensor_of(name) : &weight,
                            has_bias(record) ? record : nullptr});
  }

  // One table that is embedding and head becomes two, unless both change alike.
  void add_tied_tables(const TensorEntry& head) {
    const ModelTensor& table = tensor_of(head.stored_as + ".weight");
    const AdapterRecord *const of_embedding = record_of(head.stored_as), *const of_head = record_of(head.module);
    add(table, MergedUse::embedding, of_embedding);
    out_.unties_embeddings = (of_embedding != nullptr || of_head != nullptr) && !replace_the_same_rows(of_embedding, of_head);
    if (out_.unties_embeddings)
      out_.tensors.push_back({head.module + ".weight", MergedUse::product, table.info.shape, &table, &table, of_head});
  }

  const ModelFolder& base_;
  const ModuleTable& table_;
  const ModelTensors tensors_;
  std::map<std::string, const AdapterRecord*> records_;  // by module
  MergedTensors out_;
};

}  // namespace

Result<MergedTensors> plan_merged_tensors(const ModelFolder& base, const ModuleTable& table, std::span<const AdapterRecord> records) {
  return Planner(base, table).plan(records);
}

}  // namespace slora
