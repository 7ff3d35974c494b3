#pragma once
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "merge/merged_tensors.h"
#include "adapters/part_reader.h"

namespace slora {

// Computes the numbers of one tensor of a merged model, some rows at a time, from the base's:
//   product    gain * (W * input_gain + weight * scale * delta_gain * B diag(rank_gain) A), where a gain of the inputs multiplies columns
//   and
//              one of the outputs rows; with LowRank::hadamard, (B diag(rank_gain) A) o W; rows that the adapter replaces are its own
//   embedding  E, or the rows that replace it, + weight * scale * (B A)^T
//   gain       the adapter's
//   bias       weight * scale * bias_added + (bias_replacing, or else the base's)
// as RecordView and the kernels have it; sums are fp64. Holds A and B of one module. Borrows the tensor and the reader. One thread.
class MergedNumbers {
 public:
  // Reads the parts, except the rows that replace the base's. Requires: tensor.record is not null.
  static Result<MergedNumbers> create(const MergedTensor& tensor, PartReader& reader, float weight);

  // out, base [row_count, cols]: rows from `row_begin` on; a vector is one row.
  [[nodiscard]] Status compute(std::span<double> out, std::span<const float> base, std::int64_t row_begin);

 private:
  MergedNumbers(const MergedTensor& tensor, PartReader& reader, float weight);

  [[nodiscard]] Status read_parts();
  void find_low_rank();
  void compute_vector(std::span<double> out, std::span<const float> base) const;
  void compute_product_row(double* out, const float* base, std::int64_t row);
  // Of the sparse matrix.
  void add_elements(double* out, std::int64_t row) const;
  // sums_ [cols] = the row's element of B diag(rank_gain) A, or of its transpose
  void sum_low_rank(std::int64_t row);
  // Overwrites `out` [cols] if the adapter has a row in place of this one.
  [[nodiscard]] Status replace_row(double* out, std::int64_t row);

  const MergedTensor& tensor_;
  const AdapterRecord& record_;
  PartReader& reader_;
  const double weight_;
  const std::int64_t cols_;
  std::vector<float> input_gain_, delta_gain_, gain_, bias_added_, bias_replacing_;  // empty: none
  std::int64_t rank_ = 0;                                                            // 0: no low-rank part
  std::vector<float> a_, b_, rank_gain_;
  std::vector<float> factors_;                               // [rows, rank] of the tensor's rows
  std::vector<float> basis_;                                 // [rank, cols]
  std::vector<double> sums_;                                 // [cols]
  std::vector<std::size_t> element_ends_;                    // [rows] where the elements of each row end
  std::vector<float> columns_, elements_;                    // of the sparse matrix, row after row
  std::unordered_map<std::int64_t, std::int64_t> replaced_;  // row of the tensor: row of the part; used where the part lists them
};

}  // namespace slora
