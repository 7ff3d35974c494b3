#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <type_traits>
#include <utility>

#include "backend/backends.h"
#include "backend/cpu_train_ops.h"
#include "backend/expert_groups.h"
#include "backend/host_backend.h"
#include "kernels/cpu/add_shares.h"
#include "kernels/cpu/attend.h"
#include "kernels/cpu/embed.h"
#include "kernels/cpu/linear.h"
#include "kernels/cpu/replaced_rows.h"
#include "kernels/cpu/rescale.h"
#include "kernels/cpu/rms_norm.h"
#include "kernels/cpu/rope.h"
#include "kernels/cpu/route.h"
#include "kernels/cpu/sample.h"
#include "kernels/cpu/score.h"
#include "kernels/cpu/shrink.h"
#include "kernels/cpu/store_kv.h"
#include "kernels/reference/adapt_embedding.h"
#include "kernels/reference/copy_pages.h"
#include "kernels/reference/fill.h"
#include "kernels/reference/gather_rows.h"

namespace slora {
namespace {

constexpr std::int32_t kRanksInRow = 2;  // of B as it is stored

// Calls fn with a view of the weight in its storage's layout.
template <class Function>
auto visit_packed(const LinearWeight& weight, Function&& fn) {
  auto* words = reinterpret_cast<std::uint32_t*>(weight.packed.data());
  const auto mixed = [&]<class Coarse, class Fine>(Coarse coarse, Fine fine) {
    fine.words = words == nullptr ? nullptr : words + coarse.bytes() / sizeof *words;
    fine.first_panel = coarse.panel_count();
    return fn(cpu::MixedWeight<Coarse, Fine>{coarse, fine});
  };
  if (const std::int64_t coarse_rows = weight.out - weight.fine_rows; weight.fine_rows > 0) {
    if (weight.storage == WeightStorage::int4)
      return mixed(cpu::Int4Weight{words, coarse_rows, weight.in}, cpu::Int8Weight{nullptr, weight.out, weight.in});
    return mixed(cpu::Int8Weight{words, coarse_rows, weight.in}, cpu::PackedWeight{nullptr, weight.out, weight.in});
  }
  if (weight.storage == WeightStorage::int8) return fn(cpu::Int8Weight{words, weight.out, weight.in});
  if (weight.storage == WeightStorage::int4) return fn(cpu::Int4Weight{words, weight.out, weight.in});
  return fn(cpu::PackedWeight{words, weight.out, weight.in});
}

// Where kernels of this name come in the order of Instructions: after all that lack none of theirs. Kernels for other processors than
// x86-64 come before portable ones.
std::size_t place_of(std::string_view name) {
  const auto* at = std::ranges::find(kInstructionNames, name);
  return at == kInstructionNames.end() ? kInstructionNames.size() - 2 : static_cast<std::size_t>(at - kInstructionNames.begin());
}

const cpu::Kernels& kernels_for(Instructions instructions) {
  std::vector<const cpu::Kernels*> usable = cpu::usable_kernels();
  if (instructions == Instructions::best) return *usable.front();
  std::ranges::stable_sort(usable, {}, [](const cpu::Kernels* kernels) { return place_of(kernels->name); });
  return **std::ranges::find_if(
      usable, [&](const cpu::Kernels* kernels) { return place_of(kernels->name) >= static_cast<std::size_t>(instructions); });
}

int thread_share(const BackendOptions& options) {
  const int threads = options.threads > 0 ? options.threads : cpu::usable_core_count();
  return std::max(threads / options.shard_count, 1);
}

// Holds the threads and the scratch of its ops. Owned by its backend, used by the engine thread.
class CpuOps final : public Ops {
 public:
  CpuOps(const cpu::Kernels& kernels, int threads)
      : kernels_(kernels),
        pool_(threads),
        shrink_(kernels, pool_),
        linear_(kernels, pool_),
        route_(pool_),
        added_rows_(kernels, pool_),
        attend_(kernels, pool_),
        sample_(kernels, pool_),
        score_(kernels, pool_) {}

  void embed(Tensor out, StepArray<TokenId> ids, const TokenResult* previous, const LinearWeight& table, TokenId first_token) override {
    check(std::cmp_equal(out.rows, ids.size()) && out.cols == table.in, "expected out [T, hidden]");
    const std::span<const TokenId> known = inputs_.find(ids, previous);
    visit_packed(table, [&](const auto& packed) { cpu::embed(pool_, out, known, packed, first_token); });
  }

  void adapt_embedding(Tensor out, StepArray<TokenId> ids, const TokenResult* previous, const AdapterBatch& adapters) override {
    check(std::cmp_equal(out.rows, ids.size()), "expected out [T, hidden]");
    adapters.find_records(records_, kEmbeddingSite, RecordUse::expand);
    reference::adapt_embedding(out, inputs_.find(ids, previous), records_, kRanksInRow);
  }

  void rms_norm(Tensor out, Tensor in, Tensor weight, float eps, const AdapterBatch& adapters, Site site) override {
    check(out.rows == in.rows && out.cols == in.cols && in.cols % weight.cols == 0, "expected out of the shape of in, in whole groups");
    adapters.find_records(records_, site, RecordUse::expand);
    cpu::rms_norm(kernels_, pool_, out, in, {numbers_of(weight), records_}, eps);
  }

  void add_rms_norm(Tensor out, Tensor residual, Tensor x, Tensor weight, float eps, const AdapterBatch& adapters, Site site) override {
    check(out.rows == x.rows && residual.rows == x.rows && residual.cols == x.cols && (weight.cols == 0 || x.cols == weight.cols),
          "expected equal shapes");
    adapters.find_records(records_, site, RecordUse::expand);
    cpu::add_rms_norm(kernels_, pool_, out, residual, x, {numbers_of(weight), records_}, eps);
  }

  void shrink(Tensor z, Tensor x, const AdapterBatch& adapters, Site site) override {
    adapters.find_records(records_, site, RecordUse::shrink);
    shrink_.run(z, x, records_);
  }

  void linear(Tensor y, Tensor x, const LinearWeight& weight, Tensor z, const AdapterBatch& adapters, Site site) override {
    check(y.rows == x.rows && x.cols == weight.in && y.cols == weight.out, "expected y [T, out] = W [out, in] x [T, in]");
    adapters.find_records(records_, site, RecordUse::expand);
    visit_packed(weight, [&](const auto& packed) { linear_.run(y, x, packed, numbers_of(weight.bias), z, records_); });
  }

  void linear_gated(Tensor out, Tensor x, const LinearWeight& weight, Tensor z, const AdapterBatch& adapters, Site site,
                    Activation activation) override {
    check(out.rows == x.rows && x.cols == weight.in && 2 * out.cols == weight.out, "expected out [T, n], W [2n, in] x [T, in]");
    adapters.find_records(records_, site, RecordUse::expand);
    visit_packed(weight, [&](const auto& packed) { linear_.run_gated(out, x, packed, numbers_of(weight.bias), z, records_, activation); });
  }

  void route(const ExpertRows& out, Tensor scores, const RouteParams& params) override {
    check(scores.cols == out.expert_count + (params.has_shared_expert ? 1 : 0), "expected a score of each expert");
    route_.run(out, scores, params);
  }

  void mix_experts(Tensor out, Tensor x, const ExpertBatch& experts, const AdapterBatch& adapters, std::int32_t layer,
                   Activation activation) override {
    check(out.rows == x.rows && out.cols == x.cols, "expected out of the shape of x");
    fill(out, 0.0f);
    expert_groups_.run(
        *this, x, experts, adapters, layer, activation,
        [&](Tensor y, std::span<const std::int32_t> rows, std::span<const float> shares) { cpu::add_shares(pool_, out, y, rows, shares); });
  }

  void rope(Tensor x, StepArray<std::int32_t> positions, const RopeTable& table) override {
    check(std::cmp_equal(x.rows, positions.size()) && x.cols % table.head_stride() == 0, "expected whole heads and one position per row");
    cpu::rope(kernels_, pool_, x, positions.on_device(), table);
  }

  void store_kv(const KvLayer& layer, Tensor k, Tensor v, const SpanBatch& spans) override {
    check(k.cols == layer.kv_heads * layer.head_dim && v.cols == k.cols, "expected k and v [T, kv_heads * head_dim]");
    cpu::store_kv(pool_, layer, k, v, spans);
  }

  void attend(Tensor out, Tensor q, const KvLayer& layer, const SpanBatch& spans, const AttendParams& params) override {
    check(q.cols == out.cols && q.cols % (layer.kv_heads * layer.head_dim) == 0, "expected whole groups of heads");
    attend_.run(out, q, layer, spans, params);
  }

  void gather_rows(Tensor out, Tensor in, StepArray<std::int32_t> rows) override {
    check(std::cmp_equal(out.rows, rows.size()) && out.cols == in.cols && out.dtype == in.dtype,
          "expected one row of out for each index, of the type of in");
    reference::gather_rows(out, in, rows.on_device());
  }

  void added_logits(Tensor out, Tensor x, const AdapterBatch& adapters) override {
    check(out.rows == x.rows && out.dtype == DType::f32, "expected out [T, count] in fp32");
    adapters.find_records(records_, kHeadSite, RecordUse::add_logits);
    added_rows_.run_added(out, x, records_);
  }

  void sample(std::span<TokenResult> out, Tensor logits, const SampleBatch& batch) override {
    check(out.size() == batch.rows.size() && std::cmp_greater_equal(logits.rows, out.size()), "expected a row of logits for every sample");
    sample_.run(out, logits, batch);
  }

  void score(std::span<TokenResult> out, Tensor logits, StepArray<ScoreRow> rows) override {
    check(out.size() == rows.size() && std::cmp_greater_equal(logits.rows, rows.size()), "expected a row of logits for every score");
    const auto in_vocabulary = [&](const ScoreRow& row) {
      return row.token >= 0 && row.token < (row.vocabulary > 0 ? row.vocabulary : logits.cols);
    };
    check(std::ranges::all_of(rows.on_device(), in_vocabulary), "expected tokens of the vocabulary");
    score_.run(out, logits, rows.on_device());
  }

  void copy_pages(std::byte* base, std::size_t page_bytes, std::span<const PageCopy> copies) override {
    reference::copy_pages(base, page_bytes, copies);
  }

  void rescale(Tensor x, float factor, float cap) override { cpu::rescale(kernels_, pool_, x, factor, cap); }
  void fill(Tensor out, float value) override { reference::fill(out, value); }

  void parallel_for(std::int64_t count, const std::function<void(std::int64_t)>& work) {
    pool_.parallel_for(count, [&](std::int64_t index, int) { work(index); });
  }
  [[nodiscard]] cpu::ThreadPool& pool() { return pool_; }
  [[nodiscard]] int thread_count() const { return pool_.thread_count(); }
  [[nodiscard]] std::uint64_t progress() const { return pool_.progress(); }

 private:
  const cpu::Kernels& kernels_;
  cpu::ThreadPool pool_;
  cpu::Shrink shrink_;
  cpu::Linear linear_;
  cpu::Route route_;
  cpu::ReplacedRows added_rows_;
  cpu::Attend attend_;
  cpu::Sample sample_;
  cpu::Score score_;
  std::vector<AppliedRecord> records_;
  ExpertGroups expert_groups_;
  InputIds inputs_;
};

class CpuBackend final : public HostBackend {
 public:
  explicit CpuBackend(const BackendOptions& options)
      : kernels_(kernels_for(options.instructions)),
        weights_(options.weights),
        ops_(kernels_, thread_share(options)),
        train_ops_(kernels_, ops_.pool()) {}

  std::string_view name() const override { return "cpu"; }
  std::string description() const override {
    return fmt::format("{}, {} thread{}, weights in {}", kernels_.name, ops_.thread_count(), ops_.thread_count() == 1 ? "" : "s",
                       name_of(weights_));
  }
  int thread_count() const override { return ops_.thread_count(); }
  DType product_dtype() const override { return DType::bf16; }
  DType kv_dtype() const override { return DType::bf16; }
  AdapterFormat adapter_format() const override { return {.dtype = DType::bf16, .b_interleave = kRanksInRow}; }

  LinearWeight make_linear(std::int64_t out, std::int64_t in) override { return make_mixed(out, in, 0); }
  LinearWeight make_table(std::int64_t out, std::int64_t in) override { return make(out, in, table_storage(), 0); }
  void pack_rows(LinearWeight& weight, std::int64_t row_begin, Tensor rows) override {
    visit_packed(weight, [&](const auto& packed) { pack(packed, row_begin, rows, weight.input_squares); });
  }
  Int4Count int4_count() const override { return {.all = int4_all_, .kept = int4_kept_}; }
  std::size_t linear_bytes(std::int64_t out, std::int64_t in) const override { return mixed_bytes(out, in, 0); }
  std::size_t table_bytes(std::int64_t out, std::int64_t in) const override { return bytes_of_weight(out, in, table_storage(), 0); }
  LinearWeight make_mixed(std::int64_t out, std::int64_t in, std::int64_t fine_rows) override {
    return make(out, in, weights_, own_fine_rows(out, fine_rows));
  }
  std::size_t mixed_bytes(std::int64_t out, std::int64_t in, std::int64_t fine_rows) const override {
    return bytes_of_weight(out, in, weights_, own_fine_rows(out, fine_rows));
  }
  WeightStorage weight_storage() const override { return weights_; }
  Ops& ops() override { return ops_; }
  // None with weights in bytes, whose transposed product is not there.
  TrainOps* train_ops() override { return weights_ == WeightStorage::bf16 ? &train_ops_ : nullptr; }
  void parallel_for(std::int64_t count, const std::function<void(std::int64_t)>& work) override { ops_.parallel_for(count, work); }
  std::uint64_t progress() const override { return ops_.progress(); }

 private:
  // No later layer evens out what the head errs by.
  [[nodiscard]] WeightStorage table_storage() const { return weights_ == WeightStorage::int4 ? WeightStorage::int8 : weights_; }
  [[nodiscard]] std::int64_t own_fine_rows(std::int64_t out, std::int64_t fine_rows) const {
    return weights_ == WeightStorage::bf16 ? 0 : packed_fine_rows(out, fine_rows);
  }
  static std::size_t bytes_of_weight(std::int64_t out, std::int64_t in, WeightStorage storage, std::int64_t fine_rows) {
    return visit_packed({.out = out, .in = in, .packed = {}, .bias = {}, .storage = storage, .fine_rows = fine_rows},
                        [](const auto& packed) { return packed.bytes(); });
  }
  LinearWeight make(std::int64_t out, std::int64_t in, WeightStorage storage, std::int64_t fine_rows) {
    Buffer packed = arena_.take(bytes_of_weight(out, in, storage, fine_rows));
    return {.out = out, .in = in, .packed = std::move(packed), .bias = {}, .storage = storage, .fine_rows = fine_rows};
  }
  void pack(const auto& packed, std::int64_t row_begin, Tensor rows, std::span<const float>) { cpu::pack_rows(packed, row_begin, rows); }
  void pack(const cpu::Int4Weight& packed, std::int64_t row_begin, Tensor rows, std::span<const float> squares) {
    int4_kept_ += cpu::pack_rows(packed, row_begin, rows, squares);
    int4_all_ += rows.rows * rows.cols;
  }
  template <class Coarse, class Fine>
  void pack(const cpu::MixedWeight<Coarse, Fine>& packed, std::int64_t row_begin, Tensor rows, std::span<const float> squares) {
    const std::int64_t coarse = std::clamp<std::int64_t>(packed.coarse.out - row_begin, 0, rows.rows);
    if (coarse > 0) pack(packed.coarse, row_begin, rows.rows_from(0, coarse), squares);
    if (coarse < rows.rows) pack(packed.fine, row_begin + coarse, rows.rows_from(coarse, rows.rows - coarse), squares);
  }

  const cpu::Kernels& kernels_;
  const WeightStorage weights_;
  BufferArena arena_;                               // for weights
  std::atomic<std::int64_t> int4_all_, int4_kept_;  // as Int4Count; threads that load add to it
  CpuOps ops_;
  CpuTrainOps train_ops_;
};

}  // namespace

std::unique_ptr<Backend> create_cpu_backend(const BackendOptions& options) { return std::make_unique<CpuBackend>(options); }

}  // namespace slora
