#pragma once
#include <span>
#include <vector>

#include "kernels/cpu/replaced_rows.h"
#include "kernels/cpu/scaled_products.h"
#include "kernels/cpu/sparse_products.h"

namespace slora::cpu {

// Computes the rows of a batch that general records apply to (RecordView::is_general), with all of their records. The product of the whole
// batch computes only W x of these rows; what is missing then is done here on all of y, in the same order for every row: products with
// inputs of their own, what sparse matrices and B add, and at last gains and biases. Holds scratch; owned by a Linear, called by its
// backend's engine thread.
class GeneralRecords {
 public:
  GeneralRecords(const Kernels& kernels, ThreadPool& pool)
      : kernels_(kernels), pool_(pool), products_(kernels, pool), sparse_(pool), replaced_(kernels, pool) {}

  // Finds these rows in a batch whose product has `out` columns. Borrows x [T, in] bf16, z [T, z columns] fp32, the base's bias [out] or
  // empty, and the records until the next call. A batch without general records is left as it is.
  void pick(Tensor x, Tensor z, std::span<const float> bias, std::int64_t out, std::span<const AppliedRecord> records);
  [[nodiscard]] bool empty() const { return bands_.empty(); }
  // What the product of the whole batch is computed with: x, with input gains of all outputs applied, and the records of the other rows,
  // with one for each run of these rows that leaves the bias out.
  [[nodiscard]] Tensor inputs() const { return inputs_; }
  [[nodiscard]] std::span<const AppliedRecord> others() const { return others_; }

  // Completes the rows. y [T, out] fp32
  template <class Weight>
  void run(Tensor y, const Weight& weight) {
    if (empty()) return;
    products_.run(y, x_, weight);
    sparse_.run(y, x_, records_);
    finish(y);
    replaced_.run(y, x_, records_);
  }

 private:
  // A few consecutive rows under the same records.
  struct Band {
    std::int32_t row_begin = 0;
    std::int32_t row_count = 0;
    std::size_t record_begin = 0;  // in band_records_
    std::size_t record_end = 0;
  };
  // Columns of y, with scratch for them.
  struct Block {
    std::int64_t begin, end;
    float* delta;     // [rows of a band, columns]
    float* gain;      // [columns]
    float* constant;  // [columns]
  };

  void cut_rows(std::span<const AppliedRecord> records);
  void add_rows(std::int32_t begin, std::int32_t end, std::size_t record_begin);
  void find_inputs(Tensor x, std::span<const AppliedRecord> records);
  void finish(Tensor y);
  void finish_block(Tensor y, const Band& band, const Block& block) const;
  void add_low_rank(Tensor y, const Band& band, const AppliedRecord& applied, const Block& block) const;
  void find_gains(const Band& band, const Block& block) const;
  [[nodiscard]] std::span<const AppliedRecord* const> records_of(const Band& band) const {
    return {band_records_.data() + band.record_begin, band.record_end - band.record_begin};
  }

  const Kernels& kernels_;
  ThreadPool& pool_;
  ScaledProducts products_;
  SparseProducts sparse_;
  ReplacedRows replaced_;
  std::span<const AppliedRecord> records_;
  Tensor x_, z_;
  std::span<const float> bias_;
  Tensor inputs_;
  std::span<const AppliedRecord> others_;
  std::vector<std::int32_t> cuts_;  // rows where a record begins or ends
  std::vector<Band> bands_;
  std::vector<const AppliedRecord*> band_records_;
  std::vector<AppliedRecord> other_records_;
  std::vector<float> zeros_;  // [out]
  RecordView no_bias_;        // replaces the base's bias by zeros_
  Scratch scaled_;            // inputs_, if it is not x
  Scratch scratch_;           // per thread: three blocks of kBlockElements
};

}  // namespace slora::cpu
