#include "train/peft_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <string_view>

#include "adapters/adapter_files.h"
#include "formats/json.h"
#include "formats/new_file.h"
#include "formats/replaced_file.h"
#include "formats/safetensors_writer.h"

namespace slora {
namespace {

namespace fs = std::filesystem;

// Last names where those mean the trained modules and no others, else whole paths.
std::set<std::string> target_modules(const AdapterMasters& masters, const ModuleTable& base) {
  std::set<std::string> names, paths;
  for (const MasterModule& module : masters.modules) {
    names.emplace(last_name(module.path));
    paths.insert(module.path);
  }
  const bool means_others = std::ranges::any_of(base.modules, [&](const ModuleEntry& module) {
    return names.contains(std::string(last_name(module.path))) && !paths.contains(module.path);
  });
  return means_others ? paths : names;
}

// The keys that every version of PEFT knows, and of the others those that are needed.
std::string config_text(const AdapterMasters& masters, const ModuleTable& base, const AdapterCard& card) {
  nlohmann::json config = {{"auto_mapping", nullptr},
                           {"base_model_name_or_path", card.base_model},
                           {"bias", "none"},
                           {"fan_in_fan_out", false},
                           {"inference_mode", true},
                           {"init_lora_weights", true},
                           {"layers_pattern", nullptr},
                           {"layers_to_transform", nullptr},
                           {"lora_alpha", masters.alpha},
                           {"lora_dropout", 0.0},
                           {"modules_to_save", nullptr},
                           {"peft_type", "LORA"},
                           {"r", masters.rank},
                           {"revision", nullptr},
                           {"target_modules", target_modules(masters, base)},
                           {"task_type", "CAUSAL_LM"}};
  if (masters.scale_by_root_of_rank) config["use_rslora"] = true;
  for (const MasterModule& module : masters.modules) {
    if (module.rank != masters.rank) config["rank_pattern"][module.path] = module.rank;
    if (module.alpha != masters.alpha) config["alpha_pattern"][module.path] = module.alpha;
  }
  return config.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

// As YAML and JSON write it.
std::string quoted_text(const std::string& text) { return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace); }

// In a cell of a table.
std::string cell_of(std::string_view text) {
  std::string cell;
  for (const char c : text) {
    if (c == '|') cell += '\\';
    cell += c == '\n' ? ' ' : c;
  }
  return cell;
}

std::string readme_text(const AdapterCard& card) {
  std::string text = fmt::format(
      "---\nbase_model: {}\nlibrary_name: peft\npipeline_tag: text-generation\ntags:\n- {}\n- lora\n---\n\n"
      "A LoRA adapter of {}, trained by slora.\n\n| | |\n|---|---|\n",
      quoted_text(card.base_model), quoted_text("base_model:adapter:" + card.base_model), card.base_model);
  for (const auto& [name, value] : card.facts) text += fmt::format("| {} | {} |\n", cell_of(name), cell_of(value));
  return text;
}

// Tensors in the order of their names.
Status write_weights(const std::string& path, const AdapterMasters& masters) {
  struct Entry {
    TensorShape shape;
    std::span<const float> numbers;
  };
  std::vector<Entry> entries;
  const std::span<const float> values(masters.values);
  for (const MasterModule& module : masters.modules) {
    const std::string prefix = "base_model.model." + module.path;
    entries.push_back({{prefix + ".lora_A.weight", DType::f32, {module.rank, module.in}}, module.a_of(values)});
    entries.push_back({{prefix + ".lora_B.weight", DType::f32, {module.out, module.rank}}, module.b_of(values)});
  }
  std::ranges::sort(entries, {}, [](const Entry& entry) { return entry.shape.name; });
  std::vector<TensorShape> shapes;
  for (const Entry& entry : entries) shapes.push_back(entry.shape);
  Result<NewFile> file = begin_safetensors(path, shapes);
  if (!file) return forward_error(file);
  for (const Entry& entry : entries) {
    if (Status written = file->append(std::as_bytes(entry.numbers)); !written) return written;
  }
  return file->finish();
}

}  // namespace

Status write_peft_files(const std::string& folder, const AdapterMasters& masters, const ModuleTable& base, const AdapterCard& card) {
  const fs::path at(folder);
  if (Status written = replace_text_file(at / kPeftConfig, config_text(masters, base, card)); !written) return written;
  if (Status written = replace_text_file(at / "README.md", readme_text(card)); !written) return written;
  return replace_file(at / kPeftWeights, [&](const std::string& path) { return write_weights(path, masters); });
}

}  // namespace slora
