#include "train/training_base.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>
#include <vector>

#include "engine/pool_size.h"
#include "formats/json.h"
#include "formats/model_folder.h"
#include "formats/sha256.h"

namespace slora {
namespace {

Result<std::string> digest_of(const std::string& folder, const ModelFiles& files) {
  constexpr std::uint64_t kPieceBytes = 4096;
  Sha256 digest;
  std::ifstream config(std::filesystem::path(folder) / "config.json", std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(config)), std::istreambuf_iterator<char>());
  digest.update(std::as_bytes(std::span(text)));
  std::vector<std::byte> piece;
  for (const ModelTensor& tensor : files.tensors()) {
    const std::string header = fmt::format("{}:{} {} {} ", tensor.info.name.size(), tensor.info.name, name_of(tensor.info.dtype),
                                           fmt::join(tensor.info.shape, ","));
    digest.update(std::as_bytes(std::span(header)));
    const std::uint64_t bytes = std::min(kPieceBytes, tensor.info.bytes);
    piece.resize(static_cast<std::size_t>(bytes));
    for (const std::uint64_t begin : {std::uint64_t{0}, tensor.info.bytes - bytes}) {
      if (Status read = files.read_part(tensor, begin, piece); !read) return forward_error(read);
      digest.update(piece);
    }
  }
  return hex(digest.finish());
}

}  // namespace

Status check_trainable(const ModelConfig& config) {
  const auto refuse = [&](std::string_view what) {
    return error("E_UNSUPPORTED_TRAINING", "model_type {}: {} are served, and not trained on", quote(name_of(config.family)), what);
  };
  if (config.mixture.expert_count > 0) return refuse("mixtures of experts");
  if (config.score_cap > 0) return refuse("caps of attention scores (\"attn_logit_softcapping\")");
  if (config.logit_cap > 0) return refuse("caps of logits (\"final_logit_softcapping\")");
  return {};
}

KvGeometry pass_kv_geometry(const TrainingBase& base) {
  constexpr std::int32_t kPageTokens = 16;
  KvGeometry kv = make_kv_geometry(base.config, base.backend->kv_dtype(), kPageTokens);
  kv.layer_count = 1;
  return kv;
}

Result<std::unique_ptr<TrainingBase>> load_training_base(const TrainingBaseOptions& options) {
  Result<ModelFolder> opened = open_model_folder(options.folder);
  if (!opened) return error(opened.error().code, "{}: {}", options.folder, opened.error().message);
  auto base = std::make_unique<TrainingBase>();
  base->config = std::move(opened->config);
  if (Status trainable = check_trainable(base->config); !trainable) return forward_error(trainable);
  Result<std::unique_ptr<Backend>> backend =
      create_backend(options.backend, {.threads = options.threads, .instructions = options.instructions});
  if (!backend) return forward_error(backend);
  base->backend = std::move(*backend);
  if (base->backend->train_ops() == nullptr)
    return error("E_UNSUPPORTED_TRAINING", "--backend: {} serves adapters, and does not train them", base->backend->name());
  const ShardShape shape = whole_shape(base->config);
  base->modules = make_module_table(base->config);
  base->weight_bytes = packed_bytes(base->config, &opened->files, shape, *base->backend);
  if (Status fits = check_weight_bytes(base->weight_bytes, free_memory(*base->backend)); !fits) return forward_error(fits);
  Result<ModelWeights> weights = load_weights(opened->files, base->config, shape, *base->backend, options.progress);
  if (!weights) return forward_error(weights);
  base->weights = std::move(*weights);
  Result<std::string> digest = digest_of(options.folder, opened->files);
  if (!digest) return forward_error(digest);
  base->digest = std::move(*digest);
  return base;
}

}  // namespace slora
