#include "model/input_squares.h"

#include <algorithm>
#include <numeric>
#include <random>
#include <utility>

#include "backend/forwarding_backend.h"
#include "comm/communicator.h"
#include "model/model.h"

namespace slora {
namespace {

constexpr float kShareMin = 1e-6f;  // of the mean square, that an input counts at least

class ObservedOps final : public ForwardingOps {
 public:
  ObservedOps(Ops& inner, InputSquares& squares) : ForwardingOps(inner), squares_(squares) {}

  void linear(Tensor y, Tensor x, const LinearWeight& weight, Tensor z, const AdapterBatch& adapters, Site site) override {
    squares_.add(site, x);
    inner_.linear(y, x, weight, z, adapters, site);
  }
  void linear_gated(Tensor out, Tensor x, const LinearWeight& weight, Tensor z, const AdapterBatch& adapters, Site site,
                    Activation activation) override {
    squares_.add(site, x);
    inner_.linear_gated(out, x, weight, z, adapters, site, activation);
  }

 private:
  InputSquares& squares_;
};

class ObservedBackend final : public ForwardingBackend {
 public:
  ObservedBackend(std::unique_ptr<Backend> inner, InputSquares& squares)
      : ForwardingBackend(std::move(inner)), ops_(this->inner().ops(), squares) {}
  Ops& ops() override { return ops_; }

 private:
  ObservedOps ops_;
};

std::vector<TokenId> random_tokens(std::int32_t count, std::int64_t vocabulary) {
  std::mt19937_64 random(1);
  std::vector<TokenId> tokens(static_cast<std::size_t>(count));
  for (TokenId& token : tokens) token = static_cast<TokenId>(random() % static_cast<std::uint64_t>(vocabulary));
  return tokens;
}

}  // namespace

std::span<const float> InputSquares::of(Site site) const {
  const auto found = squares_.find(site);
  return found == squares_.end() ? std::span<const float>() : found->second;
}

void InputSquares::add(Site site, Tensor x) {
  std::vector<float>& sums = squares_[site];
  sums.resize(static_cast<std::size_t>(x.cols), 0.0f);
  for (std::int64_t row = 0; row < x.rows; ++row) {
    const auto* values = x.row<const Bfloat16>(row);
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += to_float(values[i]) * to_float(values[i]);
  }
}

void InputSquares::finish() {
  for (auto& [site, sums] : squares_) {
    const float mean = std::accumulate(sums.begin(), sums.end(), 0.0f) / static_cast<float>(sums.size());
    for (float& sum : sums) sum = mean > 0 ? std::max(sum / mean, kShareMin) : 1.0f;
  }
}

Result<InputSquares> observe_inputs(const ModelFiles& files, const ModelConfig& config, std::unique_ptr<Backend> backend) {
  InputSquares squares;
  ObservedBackend observed(std::move(backend), squares);
  const ShardShape shape = whole_shape(config);
  Result<ModelWeights> weights = load_weights(files, config, shape, observed, {});
  if (!weights) return forward_error(weights);
  const std::int32_t count = static_cast<std::int32_t>(std::min<std::int64_t>(kObservedTokens, config.max_position_embeddings));
  const KvGeometry kv = make_kv_geometry(config, observed.kv_dtype(), default_page_tokens(config, observed.kv_dtype()));
  std::vector<PageIndex> pages(static_cast<std::size_t>((count + kv.page_tokens - 1) / kv.page_tokens));
  for (std::size_t i = 0; i < pages.size(); ++i) pages[i] = PageIndex{static_cast<std::uint32_t>(i)};
  const Buffer pool = observed.allocate(pages.size() * kv.page_bytes());
  SingleCommunicator alone;
  Model model(config, std::move(*weights), observed, alone, kv,
              {.step_tokens_max = count, .output_rows_max = 1, .z_cols_max = 1, .position_count = count});
  const std::vector<TokenId> tokens = random_tokens(count, config.vocab_size);
  std::vector<std::int32_t> positions(tokens.size());
  std::iota(positions.begin(), positions.end(), 0);
  const std::vector<SpanView> spans = {{0, count, 0, 0, static_cast<std::int32_t>(pages.size())}};
  ForwardBatch batch;
  batch.tokens = tokens;
  batch.rope_rows = positions;
  batch.spans = {spans, pages};
  model.forward(batch, pool.data());
  squares.finish();
  return squares;
}

}  // namespace slora
