#include "golden_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <numeric>

#include "base/testing/source_path.h"
#include "engine/adapter_loader.h"
#include "formats/model_files.h"

namespace slora::testing {
namespace {

constexpr std::int32_t kRowsMax = 2048;
constexpr std::uint32_t kPagesMax = 6000;

template <class T>
T value_of(Result<T> result) {
  if (!result) ADD_FAILURE() << result.error().message;
  check(result.has_value(), "golden data that loads");
  return std::move(*result);
}

}  // namespace

std::string golden_folder(const std::string& name) { return source_path("tests/golden/" + name); }

std::vector<std::string> golden_models_with(const std::string& part) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(golden_folder(""))) {
    if (std::filesystem::exists(entry.path() / "config.json") && std::filesystem::exists(entry.path() / part)) {
      names.push_back(entry.path().filename().string());
    }
  }
  std::ranges::sort(names);
  return names;
}

Expected::Expected(const std::string& model) : file_(value_of(SafetensorsFile::open(golden_folder(model) + "/expected.safetensors"))) {}

bool Expected::has(const std::string& name) const { return file_.find(name) != nullptr; }

std::vector<TokenId> Expected::tokens(const std::string& name) const {
  const TensorInfo* info = file_.find(name);
  check(info != nullptr && info->dtype == DType::i32, "an I32 tensor of golden data");
  std::vector<TokenId> out(info->bytes / sizeof(TokenId));
  check(file_.read(*info, std::as_writable_bytes(std::span(out))).has_value(), "readable golden data");
  return out;
}

std::vector<float> Expected::floats(const std::string& name) const {
  const TensorInfo* info = file_.find(name);
  check(info != nullptr && info->dtype == DType::f32, "an F32 tensor of golden data");
  std::vector<float> out(info->bytes / sizeof(float));
  check(file_.read(*info, std::as_writable_bytes(std::span(out))).has_value(), "readable golden data");
  return out;
}

std::vector<std::string> Expected::names_with(const std::string& prefix) const {
  std::vector<std::string> names;
  for (const TensorInfo& info : file_.tensors()) {
    if (info.name.starts_with(prefix)) names.push_back(info.name);
  }
  return names;
}

GoldenModel::GoldenModel(const std::string& name, const Options& options)
    : folder_(golden_folder(name)),
      backend_(value_of(create_backend(options.backend, {.threads = options.threads, .weights = options.weights}))) {
  ModelConfig config = value_of(read_model_config(folder_));
  const ModelFiles files = value_of(ModelFiles::open(folder_));
  ModelWeights weights = value_of(load_weights(files, config, whole_shape(config), *backend_, {}));
  const KvGeometry kv = make_kv_geometry(config, backend_->kv_dtype(), options.page_tokens);
  arena_ = std::make_unique<PageArena>(backend_->allocate(kPagesMax * kv.page_bytes()), kv.page_bytes());
  store_ = std::make_unique<AdapterStore>(AdapterBase{make_module_table(config), backend_->adapter_format(), kv.page_bytes(), 512});
  model_ = std::make_unique<Model>(std::move(config), std::move(weights), *backend_, communicator_, kv,
                                   ModelLimits{kRowsMax, kRowsMax, 1536, 256});
  free_.resize(kPagesMax);
  for (std::uint32_t page = 0; page < kPagesMax; ++page) free_[page] = PageIndex{page};
  std::mt19937_64 random(options.page_seed);
  std::ranges::shuffle(free_, random);
  // Whatever lies in a page that was not written must never matter: NaN would show.
  std::memset(arena_->base(), 0xff, kPagesMax * kv.page_bytes());
}

PageIndex GoldenModel::take_page() {
  check(!free_.empty(), "enough pages for the test");
  const PageIndex page = free_.back();
  free_.pop_back();
  return page;
}

const AdapterView* GoldenModel::adapter(const std::string& name) {
  if (const auto known = adapters_.find(name); known != adapters_.end()) return known->second.get();
  const std::filesystem::path folder = std::filesystem::path(folder_) / "adapters" / name;
  const std::string known_as = folder.filename().string();
  check(store_->add_folder(known_as, folder.string()).has_value(), "a good name");
  const auto version = value_of(store_->resolve(known_as));
  std::vector<std::byte*> pages;
  for (std::uint32_t i = 0; i < version->page_count(); ++i) pages.push_back(arena_->page(take_page()));
  const ImageLayout layout = value_of(store_->load(*version, pages));
  return (adapters_[name] = make_adapter_view(layout, pages, config().layer_count)).get();
}

std::vector<std::vector<float>> GoldenModel::run(const std::vector<Piece>& pieces) {
  std::vector<TokenId> tokens;
  std::vector<std::int32_t> positions;
  std::vector<SpanView> spans;
  std::vector<AdapterSegment> segments;
  ForwardBatch batch;
  for (const Piece& piece : pieces) {
    Stream& stream = streams_[piece.stream];
    const auto row = static_cast<std::int32_t>(tokens.size());
    const auto count = static_cast<std::int32_t>(piece.tokens.size());
    tokens.insert(tokens.end(), piece.tokens.begin(), piece.tokens.end());
    for (std::int32_t i = 0; i < count; ++i) positions.push_back(stream.position + i);
    const std::int32_t page_tokens = model_->kv_geometry().page_tokens;
    while (static_cast<std::int32_t>(stream.pages.size()) * page_tokens < stream.position + count) stream.pages.push_back(take_page());
    spans.push_back({row, count, stream.position, stream.pages});
    stream.position += count;
    if (piece.adapter == nullptr) continue;
    segments.push_back({row, count, 0, 1.0f, piece.adapter});
    batch.adapters.z_cols = std::max(batch.adapters.z_cols, piece.adapter->z_cols_max);
  }
  std::vector<std::int32_t> rows(tokens.size());
  std::iota(rows.begin(), rows.end(), 0);
  batch.tokens = tokens;
  batch.positions = positions;
  batch.spans = spans;
  batch.adapters.segments = segments;
  model_->forward(batch, arena_->base());
  const Tensor logits = model_->logits(batch, {rows, batch.adapters});  // every row is an output row
  std::vector<std::vector<float>> out;
  for (std::int64_t row = 0; row < logits.rows; ++row) out.emplace_back(logits.row<float>(row), logits.row<float>(row) + logits.cols);
  return out;
}

std::vector<std::vector<float>> GoldenModel::run_alone(const std::vector<TokenId>& tokens, const AdapterView* adapter) {
  return run({{next_own_stream_++, tokens, adapter}});
}

void GoldenModel::forget_streams() {
  for (auto& [id, stream] : streams_) free_.insert(free_.end(), stream.pages.begin(), stream.pages.end());
  streams_.clear();
}

}  // namespace slora::testing
