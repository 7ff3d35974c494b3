#pragma once
#include <span>
#include <vector>

#include "kernels/cpu/expand_deferred.h"
#include "kernels/cpu/general_records.h"
#include "kernels/cpu/linear_call.h"
#include "ops/activation.h"

namespace slora::cpu {

// y[t, :] = W x[t, :] + bias, and for every applied record over row t, on its slice, in the order of `records`:
// + weight * (scale * B z + record bias), or the record's bias instead of the base's; rows that a general record is applied to are what
// RecordView says. x [T, in] bf16, z [T, z columns] fp32 (weight * scale * z is rounded to bf16 for the product with B), B [ceil(rank / 2),
// 2 * out] bf16 with pairs of rank rows interleaved, y [T, out] fp32. Holds scratch; owned by a backend, called by its engine thread.
class Linear {
 public:
  Linear(const Kernels& kernels, ThreadPool& pool)
      : kernels_(kernels),
        pool_(pool),
        tiles_(kernels),
        int8_rows_(kernels),
        int4_rows_(kernels),
        deferred_(kernels, pool),
        general_(kernels, pool) {}

  // With an Int8Weight or Int4Weight x is quantised too: integer products, exact within a group of inputs, are scaled and summed in fp32
  // over the groups. A MixedWeight has x in the form of each part.
  template <class Weight>
  void run(Tensor y, Tensor x, const Weight& weight, std::span<const float> bias, Tensor z, std::span<const AppliedRecord> records);

  // out[t, i] = activation(y[t, i]) * y[t, n + i], out [T, n] bf16. y [T, 2n] is never stored whole: each work item computes a few of its
  // columns, which stay in cache.
  template <class Weight>
  void run_gated(Tensor out, Tensor x, const Weight& weight, std::span<const float> bias, Tensor z, std::span<const AppliedRecord> records,
                 Activation activation);

 private:
  template <class Weight>
  [[nodiscard]] ByteRows<Weight>& rows_for() {
    if constexpr (std::is_same_v<Weight, Int8Weight>) {
      return int8_rows_;
    } else {
      return int4_rows_;
    }
  }
  // Packs what the product reads: x as the weight wants it, and z.
  template <class Weight>
  auto prepare(Tensor y, Tensor x, const Weight& weight, std::span<const float> bias, Tensor z, std::span<const AppliedRecord> records);
  [[nodiscard]] LinearCall call_of(Tensor y, const PackedWeight& weight, std::span<const float> bias) {
    return {y, weight, tiles_.tile(0), x_tile_count_, bias, expands_};
  }
  template <class Weight>
  [[nodiscard]] ByteLinearCall<Weight> call_of(Tensor y, const Weight& weight, std::span<const float> bias) {
    return {y, weight, rows_for<Weight>().pack(general_.inputs(), pool_), bias, expands_};
  }
  template <class Coarse, class Fine>
  [[nodiscard]] auto call_of(Tensor y, const MixedWeight<Coarse, Fine>& weight, std::span<const float> bias) {
    return MixedLinearCall{call_of(y, weight.coarse, bias), call_of(y, weight.fine, bias)};
  }
  // Fills expands_, and tiles_ with the rows of x (an empty x if it is only quantised) and of z.
  void pack_tiles(Tensor x, Tensor z, std::span<const AppliedRecord> records, std::int64_t rows);
  void add_z_tiles(Tensor z, const AppliedRecord& applied);
  // Computes y in parts, and writes its gated values to out.
  template <class Call>
  void gate(Tensor out, const Call& product, Activation activation);
  // The same when some records are added after the whole product: then all of y is stored.
  template <class Weight, class Call>
  void gate_deferred(Tensor out, const Weight& weight, Call product, Activation activation);

  const Kernels& kernels_;
  ThreadPool& pool_;
  RowTiles tiles_;  // of x and then of z
  std::size_t x_tile_count_ = 0;
  ByteRows<Int8Weight> int8_rows_;
  ByteRows<Int4Weight> int4_rows_;
  std::vector<ExpandCall> expands_;
  std::vector<std::size_t> first_tiles_;  // of each expand
  ExpandDeferred deferred_;
  GeneralRecords general_;
  Scratch scratch_;  // per thread, gate and up of some columns: [2, T, columns] fp32
};

}  // namespace slora::cpu
