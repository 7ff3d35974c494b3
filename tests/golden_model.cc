#include "golden_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <ranges>

#include "backend/adapter_runs.h"
#include "base/testing/largest_property.h"
#include "base/testing/source_path.h"
#include "comm/thread_communicator.h"
#include "engine/adapter_loader.h"
#include "formats/model_folder.h"

namespace slora::testing {
namespace {

constexpr std::int32_t kRowsMax = 2048;
constexpr std::uint32_t kPagesMax = 10000;
constexpr std::int32_t kPositions = 512;
constexpr std::int32_t kExtendedPositions = 512;  // of adapters that extend the context

template <class T>
T value_of(Result<T> result) {
  if (!result) ADD_FAILURE() << result.error().message;
  check(result.has_value(), "expected golden data that loads");
  return std::move(*result);
}

}  // namespace

std::string golden_folder(const std::string& name) { return (std::filesystem::path(source_path("tests/golden")) / name).string(); }

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

void PrintTo(const BackendCase& test, std::ostream* out) { *out << test.backend; }

void expect_close(const std::vector<float>& found, std::span<const float> expected, const BackendCase& backend, const std::string& what) {
  ASSERT_EQ(found.size(), expected.size()) << what;
  double difference = 0, reference = 0, largest = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double delta = static_cast<double>(found[i]) - static_cast<double>(expected[i]);
    difference += delta * delta;
    reference += static_cast<double>(expected[i]) * static_cast<double>(expected[i]);
    largest = std::max(largest, std::abs(delta));
  }
  record_largest("relative_error", std::sqrt(difference / reference));
  if (backend.exact_arithmetic) {
    // PEFT takes the singular vectors that PiSSA starts with from another library.
    EXPECT_LE(largest, what.find("pissa") != std::string::npos ? 1e-4 : backend.logit_error_max) << what;
  } else {
    EXPECT_LE(std::sqrt(difference / reference), 2e-2) << what;
  }
}

void expect_close(const std::vector<std::vector<float>>& found, const std::vector<float>& expected, const BackendCase& backend,
                  const std::string& what) {
  const std::size_t vocab = found.front().size();
  ASSERT_EQ(expected.size() % vocab, 0u) << what;
  const std::size_t rows = expected.size() / vocab;
  ASSERT_LE(rows, found.size()) << what;
  for (std::size_t row = 0; row < rows; ++row) {
    const std::size_t position = found.size() - rows + row;
    expect_close(found[position], std::span(expected).subspan(row * vocab, vocab), backend, what + " position " + std::to_string(position));
    if (::testing::Test::HasFailure()) return;
  }
}

GoldenModel::GoldenModel(const std::string& name, const Options& options) : folder_(golden_folder(name)) {
  ModelFolder opened = value_of(open_model_folder(folder_, options.rounding));
  const ModelConfig& config = opened.config;
  const auto shared_files = std::make_shared<const ModelFiles>(std::move(opened.files));
  const ModelFiles& files = *shared_files;
  std::vector<std::unique_ptr<Communicator>> communicators = ThreadCommunicator::make_group(options.shards);
  if (options.shards == 1) communicators.front() = std::make_unique<SingleCommunicator>();
  std::vector<ShardShape> shapes;
  std::vector<ModelShard> shards;
  for (std::int32_t i = 0; i < options.shards; ++i) {
    shapes.push_back(value_of(make_shard_shape(config, i, options.shards)));
    ModelShard& shard = shards.emplace_back();
    shard.backend = options.make_backend
                        ? options.make_backend()
                        : value_of(create_backend(options.backend, {.threads = options.threads, .weights = options.weights}));
    shard.communicator = std::move(communicators[static_cast<std::size_t>(i)]);
    const KvGeometry kv = make_kv_geometry(config, shapes.back(), shard.backend->kv_dtype(), options.page_tokens);
    shard.arena = std::make_unique<PageArena>(shard.backend->allocate(kPagesMax * kv.page_bytes()), kv.page_bytes());
    // Whatever lies in a page that was not written must never matter: NaN would show.
    const std::vector<std::byte> nan(kPagesMax * kv.page_bytes(), std::byte{0xff});
    const auto bytes = static_cast<std::int64_t>(nan.size());
    shard.backend->upload({shard.arena->base(), DType::u8, 1, bytes, bytes}, nan.data());
    ModelWeights weights = value_of(load_weights(files, config, shapes.back(), *shard.backend, {}));
    shard.model = std::make_unique<Model>(config, std::move(weights), *shard.backend, *shard.communicator, kv,
                                          ModelLimits{kRowsMax, kRowsMax, 1536 + options.shards, kPositions, kExtendedPositions});
  }
  Backend& backend = *shards.front().backend;
  AdapterStoreOptions adapters;
  if (!backend.shares_host_memory()) adapters.allocate_host = [&backend](std::size_t bytes) { return backend.host_memory(bytes); };
  store_ = std::make_unique<AdapterStore>(
      AdapterBase{make_module_table(config, shapes), backend.adapter_format(), shards.front().arena->page_bytes(), 512, shared_files,
                  std::make_shared<VeraProjections>(), kExtendedPositions},
      adapters);
  model_ = std::make_unique<ModelShards>(std::move(shards));
  free_.resize(kPagesMax);
  for (std::uint32_t page = 0; page < kPagesMax; ++page) free_[page] = PageIndex{page};
  std::mt19937_64 random(options.page_seed);
  std::ranges::shuffle(free_, random);
}

PageIndex GoldenModel::take_page() {
  check(!free_.empty(), "expected enough pages for the test");
  const PageIndex page = free_.back();
  free_.pop_back();
  return page;
}

Result<std::shared_ptr<const AdapterVersion>> GoldenModel::resolve(const std::string& name) {
  const std::filesystem::path folder = std::filesystem::path(folder_) / "adapters" / name;
  const std::string known_as = folder.filename().string();
  check(store_->add_folder(known_as, folder.string()).has_value(), "expected a valid name");
  return store_->resolve(known_as);
}

const AdapterView* GoldenModel::adapter_if_it_fits(const std::string& name) {
  const auto version = resolve(name);
  const bool is_too_large = !version && version.error().code == "E_TOO_LARGE";
  return is_too_large ? nullptr : adapter(name);
}

bool GoldenModel::refuses(const std::string& name) {
  const auto version = resolve(name);
  return !version && version.error().code == "E_UNSUPPORTED_OPTION";
}

const AdapterView* GoldenModel::adapter(const std::string& name) {
  if (const auto known = adapters_.find(name); known != adapters_.end()) return known->second.get();
  const auto version = value_of(resolve(name));
  LoadPages pages;
  for (std::uint32_t i = 0; i < version->page_count(); ++i) pages.own.push_back(take_page());
  for (const SharedImage& image : version->shared()) {
    std::vector<PageIndex>& shared = shared_pages_[image.id];
    const SharedPart part = shared.empty() ? SharedPart::write : SharedPart::leave;
    while (shared.size() < image.page_count) shared.push_back(take_page());
    pages.shared.push_back({image.id, shared, part});
  }
  Gate gate;
  return (adapters_[name] = value_of(bring_in(*store_, *model_, *version, pages, gate))).get();
}

std::vector<std::vector<float>> GoldenModel::run(const std::vector<Piece>& pieces) {
  std::vector<TokenId> tokens;
  std::vector<std::int32_t> rope_rows;
  std::vector<SpanView> spans;
  std::vector<PageIndex> pages;
  AdapterRuns runs;
  std::vector<AdapterSegment> segments;
  ForwardBatch batch;
  for (const Piece& piece : pieces) {
    Stream& stream = streams_[piece.stream];
    const auto row = static_cast<std::int32_t>(tokens.size());
    const auto count = static_cast<std::int32_t>(piece.tokens.size());
    tokens.insert(tokens.end(), piece.tokens.begin(), piece.tokens.end());
    const std::int32_t rope_begin = piece.adapter != nullptr ? piece.adapter->rope_begin : 0;
    for (std::int32_t i = 0; i < count; ++i) rope_rows.push_back(rope_begin + stream.position + i);
    const std::int32_t page_tokens = model_->first_model().kv_geometry().page_tokens;
    while (static_cast<std::int32_t>(stream.pages.size()) * page_tokens < stream.position + count) stream.pages.push_back(take_page());
    spans.push_back({row, count, stream.position, static_cast<std::int32_t>(pages.size()), static_cast<std::int32_t>(stream.pages.size())});
    pages.insert(pages.end(), stream.pages.begin(), stream.pages.end());
    stream.position += count;
    if (piece.adapter == nullptr) continue;
    segments.push_back({row, count, 0, 1.0f, piece.adapter});
    batch.adapters.z_cols = std::max(batch.adapters.z_cols, piece.adapter->z_cols_max);
  }
  std::vector<std::int32_t> rows(tokens.size());
  std::iota(rows.begin(), rows.end(), 0);
  batch.tokens = tokens;
  batch.rope_rows = rope_rows;
  batch.spans = {spans, pages};
  runs.cut(segments);
  batch.adapters.segments = segments;
  batch.adapters.runs = runs.runs();
  batch.adapters.run_segments = runs.segments();
  model_->forward(batch, after_layer_);
  const auto added_of = [](const Piece& piece) { return piece.adapter == nullptr ? 0 : piece.adapter->added_tokens; };
  const std::int32_t added_max = std::ranges::max(pieces | std::views::transform(added_of));
  const Tensor logits = model_->logits(batch, {rows, batch.adapters, added_max});  // every row is an output row
  std::vector<std::vector<float>> out;
  for (const Piece& piece : pieces) {
    for (std::size_t i = 0; i < piece.tokens.size(); ++i) {
      std::vector<float>& values = out.emplace_back(static_cast<std::size_t>(config().vocab_size + added_of(piece)));
      const Tensor row = logits.rows_from(std::ssize(out) - 1, 1);
      model_->shard(0).backend->download(values.data(), row.cols_from(0, std::ssize(values)));
    }
  }
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
