#pragma once
#include "kernels/cpu/float_tile.h"
#include "kernels/cpu/train_kernels.h"

namespace slora::cpu {

// Attention's derivatives of one query head over one sample, in blocks of 64 queries and 64 keys: as FlashAttention-2 (arXiv 2307.08691),
// with the normaliser computed in a pass of its own. q, k and v are rounded to bf16 first, since attention rounded them. What is multiplied
// is kept twice, by rows and transposed, in blocks.
template <class Isa>
class AttendBackwardKernel {
 public:
  static std::size_t floats(std::int64_t rows, std::int64_t head_dim) {
    const std::int64_t padded = block_count(rows) * kBlock, width = whole_lanes(head_dim);
    return static_cast<std::size_t>(padded * (4 * head_dim + 5 * width + 2) + 3 * kBlock * kBlock + 2 * kBlock * width);
  }

  static void run(const AttendBackwardCall& call, float* scratch) { AttendBackwardKernel(call, scratch).run(); }

 private:
  static constexpr std::int64_t kBlock = 64;
  static constexpr float kLowest = -__builtin_inff();

  static std::int64_t block_count(std::int64_t rows) { return (rows + kBlock - 1) / kBlock; }
  static std::int64_t whole_lanes(std::int64_t cols) { return (cols + kLanes - 1) / kLanes * kLanes; }

  AttendBackwardKernel(const AttendBackwardCall& call, float* scratch)
      : call_(call), rows_(call.q.rows), dim_(call.q.cols), width_(whole_lanes(dim_)), blocks_(block_count(rows_)) {
    const auto take = [&](std::int64_t count) {
      float* const taken = scratch;
      scratch += count;
      return taken;
    };
    for (float** turned : {&q_turned_, &k_turned_, &v_turned_, &d_out_turned_}) *turned = take(blocks_ * kBlock * dim_);
    for (float** plain : {&q_, &k_, &v_, &d_out_, &dq_}) *plain = take(blocks_ * kBlock * width_);
    normalisers_ = take(blocks_ * kBlock);
    shifts_ = take(blocks_ * kBlock);
    for (float** square : {&weights_, &d_scores_, &d_scores_turned_}) *square = take(kBlock * kBlock);
    for (float** sums : {&dk_, &dv_}) *sums = take(kBlock * width_);
  }

  void run() {
    pack(q_, q_turned_, call_.q, call_.params.scale * kLog2E, true);
    pack(k_, k_turned_, call_.k, 1.0f, true);
    pack(v_, v_turned_, call_.v, 1.0f, true);
    pack(d_out_, d_out_turned_, call_.d_out, 1.0f, false);
    find_shifts();
    for (std::int64_t queries = 0; queries < blocks_; ++queries) find_normalisers(queries);
    __builtin_memset(dq_, 0, static_cast<std::size_t>(blocks_ * kBlock * width_) * sizeof(float));
    for (std::int64_t keys = 0; keys < blocks_; ++keys) {
      for (std::int64_t queries = keys; queries < blocks_ && sees(queries, keys); ++queries) add_block(queries, keys);
      unpack(call_.dk, dk_, keys);
      unpack(call_.dv, dv_, keys);
    }
    for (std::int64_t queries = 0; queries < blocks_; ++queries) unpack(call_.dq, dq_ + queries * kBlock * width_, queries);
  }

  [[gnu::always_inline]] static Floats rounded(Floats value) {
    alignas(32) Bfloat16 halves[kLanes];
    Isa::store_bfloat16(halves, value);
    return widen(halves);
  }

  // out [blocks, 64, width] = rows, rounded to bf16 or not, with zeros around them; turned [blocks, dim, 64] = its transpose * factor.
  void pack(float* out, float* turned, Tensor rows, float factor, bool rounds) const {
    for (std::int64_t t = 0; t < blocks_ * kBlock; ++t) {
      for (std::int64_t d = 0; d < width_; d += kLanes) {
        const std::int64_t count = t < rows_ ? least(kLanes, dim_ - d) : 0;
        Floats value = {};
        if (count == kLanes) value = load(rows.row<float>(t) + d);
        if (count > 0 && count < kLanes) value = load_head(rows.row<float>(t) + d, count);
        if (rounds) value = rounded(value);
        store(out + t * width_ + d, value);
      }
    }
    for (std::int64_t t = 0; t < blocks_ * kBlock; t += kLanes) {
      transpose_floats<Isa>(turned + t / kBlock * kBlock * dim_ + t % kBlock, kBlock, out + t * width_, width_, kLanes, dim_, factor);
    }
  }

  // shifts [rows] = d_out out
  void find_shifts() const {
    for (std::int64_t t = 0; t < rows_; ++t) {
      Floats sum = {};
      for (std::int64_t d = 0; d < width_; d += kLanes) {
        Bfloat16 out[kLanes] = {};
        __builtin_memcpy(out, call_.out.row<const Bfloat16>(t) + d, static_cast<std::size_t>(least(kLanes, dim_ - d)) * sizeof(Bfloat16));
        sum = Isa::multiply_add(load(d_out_ + t * width_ + d), widen(out), sum);
      }
      shifts_[t] = Isa::sum(sum);
    }
  }

  // Whether some query of a block sees some key of another block, which does not begin after it.
  [[nodiscard]] bool sees(std::int64_t queries, std::int64_t keys) const {
    return call_.params.window <= 0 || queries * kBlock - (keys * kBlock + kBlock - 1) < call_.params.window;
  }

  [[nodiscard]] std::int64_t rows_of(std::int64_t block) const { return least(kBlock, rows_ - block * kBlock); }

  // out [rows of the block, 64] = queries' rows times keys' rows, both of which are given transposed.
  void multiply_turned(float* out, const float* queries_turned, std::int64_t queries, const float* keys_turned, std::int64_t keys) const {
    multiply_floats<Isa, TileStart::zero>(rows_of(queries), kBlock,
                                          {.out = out,
                                           .out_stride = kBlock,
                                           .x = queries_turned + queries * kBlock * dim_,
                                           .x_stride = kBlock,
                                           .w = keys_turned + keys * kBlock * dim_,
                                           .w_stride = kBlock,
                                           .count = dim_});
  }

  // The keys of a block that a query sees: [begin, end).
  struct Range {
    std::int64_t begin, end;
  };
  [[nodiscard]] Range visible(std::int64_t query, std::int64_t keys) const {
    const std::int64_t first = call_.params.window > 0 ? query - call_.params.window + 1 : 0;
    return {greatest(first - keys * kBlock, 0), least(query + 1 - keys * kBlock, kBlock)};
  }

  // weights [queries, 64], which are scores: -infinity where a query does not see the key.
  void hide_unseen(std::int64_t queries, std::int64_t keys) const {
    const std::int64_t last = queries * kBlock + rows_of(queries) - 1;
    if (visible(last, keys).begin == 0 && visible(queries * kBlock, keys).end == kBlock) return;
    for (std::int64_t i = 0; i < rows_of(queries); ++i) {
      const Range range = visible(queries * kBlock + i, keys);
      float* row = weights_ + i * kBlock;
      for (std::int64_t j = 0; j < least(range.begin, kBlock); ++j) row[j] = kLowest;
      for (std::int64_t j = greatest(range.end, 0); j < kBlock; ++j) row[j] = kLowest;
    }
  }

  // normalisers [rows] = log2 of the sum of 2^score, where scores have the factor log2(e) in them
  void find_normalisers(std::int64_t queries) const {
    float highest[kBlock], sums[kBlock];
    for (std::int64_t i = 0; i < kBlock; ++i) {
      highest[i] = kLowest;
      sums[i] = 0;
    }
    for (std::int64_t keys = 0; keys <= queries; ++keys) {
      if (!sees(queries, keys)) continue;
      multiply_turned(weights_, q_turned_, queries, k_turned_, keys);
      hide_unseen(queries, keys);
      for (std::int64_t i = 0; i < rows_of(queries); ++i) {
        const Range range = visible(queries * kBlock + i, keys);
        if (range.begin >= range.end) continue;
        Floats scores[kBlock / kLanes];
        Floats largest = broadcast(highest[i]);
        for (std::int64_t v = 0; v < kBlock / kLanes; ++v) {
          scores[v] = load(weights_ + i * kBlock + v * kLanes);
          largest = larger<Isa>(scores[v], largest);
        }
        const float now = Isa::maximum(largest);
        Floats sum = {};
        for (const Floats& score : scores) sum += Isa::exp2(score - now);
        sums[i] = sums[i] * Isa::exp2(broadcast(highest[i] - now))[0] + Isa::sum(sum);
        highest[i] = now;
      }
    }
    for (std::int64_t i = 0; i < rows_of(queries); ++i) normalisers_[queries * kBlock + i] = highest[i] + __builtin_log2f(sums[i]);
  }

  // weights = softmax, and d_scores = scale * weights * (d_out V^T - shift)
  void weigh(std::int64_t queries, std::int64_t keys) const {
    hide_unseen(queries, keys);
    for (std::int64_t i = 0; i < rows_of(queries); ++i) {
      const Floats normaliser = broadcast(normalisers_[queries * kBlock + i]), shift = broadcast(shifts_[queries * kBlock + i]);
      for (std::int64_t at = i * kBlock; at < (i + 1) * kBlock; at += kLanes) {
        const Floats share = Isa::exp2(load(weights_ + at) - normaliser);
        store(weights_ + at, share);
        store(d_scores_ + at, call_.params.scale * share * (load(d_scores_ + at) - shift));
      }
    }
  }

  void add_block(std::int64_t queries, std::int64_t keys) const {
    multiply_turned(weights_, q_turned_, queries, k_turned_, keys);
    multiply_turned(d_scores_, d_out_turned_, queries, v_turned_, keys);
    weigh(queries, keys);
    add_to_keys(dv_, weights_, d_out_, queries, keys);
    add_to_keys(dk_, d_scores_, q_, queries, keys);
    for (std::int64_t i = 0; i < rows_of(queries); i += kLanes) {
      transpose_floats<Isa>(d_scores_turned_ + i, kBlock, d_scores_ + i * kBlock, kBlock, least(kLanes, rows_of(queries) - i), kBlock,
                            1.0f);
    }
    multiply_floats<Isa, TileStart::out>(rows_of(queries), width_,
                                         {.out = dq_ + queries * kBlock * width_,
                                          .out_stride = width_,
                                          .x = d_scores_turned_,
                                          .x_stride = kBlock,
                                          .w = k_ + keys * kBlock * width_,
                                          .w_stride = width_,
                                          .count = rows_of(keys)});
  }

  // sums [keys, width] (= or +=) factors [queries, keys] ^T * values [queries, width]
  void add_to_keys(float* sums, const float* factors, const float* values, std::int64_t queries, std::int64_t keys) const {
    const FloatProduct product{.out = sums,
                               .out_stride = width_,
                               .x = factors,
                               .x_stride = kBlock,
                               .w = values + queries * kBlock * width_,
                               .w_stride = width_,
                               .count = rows_of(queries)};
    if (queries == keys) return multiply_floats<Isa, TileStart::zero>(rows_of(keys), width_, product);
    multiply_floats<Isa, TileStart::out>(rows_of(keys), width_, product);
  }

  void unpack(Tensor to, const float* from, std::int64_t block) const {
    for (std::int64_t i = 0; i < rows_of(block); ++i)
      __builtin_memcpy(to.row<float>(block * kBlock + i), from + i * width_, static_cast<std::size_t>(dim_) * sizeof(float));
  }

  const AttendBackwardCall& call_;
  const std::int64_t rows_, dim_, width_, blocks_;
  float *q_turned_, *k_turned_, *v_turned_, *d_out_turned_;  // [blocks, dim, 64]
  float *q_, *k_, *v_, *d_out_, *dq_;                        // [blocks, 64, width]
  float *normalisers_, *shifts_;                             // [blocks * 64]
  float *weights_, *d_scores_, *d_scores_turned_;            // [64, 64]
  float *dk_, *dv_;                                          // [64, width]
};

}  // namespace slora::cpu
