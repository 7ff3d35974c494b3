#pragma once
#include <span>
#include <vector>

#include "kernels/cpu/linear_call.h"

namespace slora::cpu {

// Products with inputs of their own, each a row more of the product W X: W (input_gain * x) of a record with an input gain for some of the
// outputs, and W (A[j, :] * x) for each rank j of a record with LowRank::hadamard, where * multiplies element by element and the result is
// rounded to bf16. Holds scratch; owned by a GeneralRecords, called by its backend's engine thread.
class ScaledProducts {
 public:
  ScaledProducts(const Kernels& kernels, ThreadPool& pool)
      : kernels_(kernels), pool_(pool), tiles_(kernels), int8_rows_(kernels), int4_rows_(kernels) {}

  void clear() { factors_.clear(); }
  // Borrows the record until clear().
  void add_input_gain(const AppliedRecord& applied) { factors_.push_back({false, &applied}); }
  void add_hadamard(const AppliedRecord& applied) { factors_.push_back({true, &applied}); }

  // For what was added: y[t, slice] = W (input_gain * x[t]), then, in the order of the ranks, y[t, slice] += weight * scale * delta_gain *
  // B[:, j] * W (A[j, :] * x[t]). x [T, in] bf16, y [T, out] fp32.
  template <class Weight>
  void run(Tensor y, Tensor x, const Weight& weight) {
    run_all(y, x, weight);
  }

 private:
  struct Factors {
    bool is_hadamard;
    const AppliedRecord* applied;
  };
  // A row that is to be multiplied by W.
  struct Row {
    Factors factors;
    std::int32_t index;  // of the batch's row
    std::int32_t rank;   // of A that it is multiplied by
  };

  template <class Weight>
  void run_all(Tensor y, Tensor x, const Weight& weight);
  // Multiplies rows_, which are of one slice, and empties it.
  template <class Weight>
  void multiply(Tensor y, Tensor x, const Weight& weight);
  LinearCall packed(Tensor inputs, const PackedWeight& weight);
  ByteLinearCall<Int8Weight> packed(Tensor inputs, const Int8Weight& weight);
  ByteLinearCall<Int4Weight> packed(Tensor inputs, const Int4Weight& weight);
  template <class Coarse, class Fine>
  auto packed(Tensor inputs, const MixedWeight<Coarse, Fine>& weight) {
    return MixedLinearCall{packed(inputs, weight.coarse), packed(inputs, weight.fine)};
  }

  const Kernels& kernels_;
  ThreadPool& pool_;
  std::vector<Factors> factors_;
  std::vector<Row> rows_;
  Scratch inputs_;    // [rows_, in] bf16
  Scratch products_;  // per thread: [rows_, columns of a work item] fp32
  RowTiles tiles_;
  ByteRows<Int8Weight> int8_rows_;
  ByteRows<Int4Weight> int4_rows_;
};

// out = factors * x, element by element, rounded to bf16.
void scale_inputs(Bfloat16* out, const Bfloat16* x, const float* factors, std::int64_t count);

}  // namespace slora::cpu
