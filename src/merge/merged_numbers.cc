#include "merge/merged_numbers.h"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <utility>

namespace slora {
namespace {

// to [cols, rows] = from [rows, cols]
std::vector<float> transposed(const std::vector<float>& from, std::int64_t rows, std::int64_t cols) {
  std::vector<float> to(from.size());
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t col = 0; col < cols; ++col)
      to[static_cast<std::size_t>(col * rows + row)] = from[static_cast<std::size_t>(row * cols + col)];
  }
  return to;
}

// sums += factor * row
void add_row(double* sums, double factor, const float* row, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) sums[i] += factor * static_cast<double>(row[i]);
}

}  // namespace

MergedNumbers::MergedNumbers(const MergedTensor& tensor, PartReader& reader, float weight)
    : tensor_(tensor), record_(*tensor.record), reader_(reader), weight_(weight), cols_(tensor.shape.back()) {}

Result<MergedNumbers> MergedNumbers::create(const MergedTensor& tensor, PartReader& reader, float weight) {
  MergedNumbers numbers(tensor, reader, weight);
  if (Status read = numbers.read_parts(); !read) return forward_error(read);
  return numbers;
}

Status MergedNumbers::read_parts() {
  const bool is_bias = tensor_.use == MergedUse::bias;
  for (const AdapterPart& part : record_.parts) {
    const bool is_of_bias = part.kind == PartKind::bias_added || part.kind == PartKind::bias_replacing;
    if (part.kind == PartKind::rows || is_of_bias != is_bias) continue;
    Result<std::vector<float>> values = reader_.read(part);
    if (!values) return forward_error(values);
    switch (part.kind) {
      case PartKind::a:
        a_ = std::move(*values);
        break;
      case PartKind::b:
        b_ = std::move(*values);
        break;
      case PartKind::input_gain:
        input_gain_ = std::move(*values);
        break;
      case PartKind::rank_gain:
        rank_gain_ = std::move(*values);
        break;
      case PartKind::delta_gain:
        delta_gain_ = std::move(*values);
        break;
      case PartKind::gain:
        gain_ = std::move(*values);
        break;
      case PartKind::bias_added:
        bias_added_ = std::move(*values);
        break;
      case PartKind::bias_replacing:
        bias_replacing_ = std::move(*values);
        break;
      case PartKind::row_counts:
        for (const float count : *values)
          element_ends_.push_back((element_ends_.empty() ? 0 : element_ends_.back()) + static_cast<std::size_t>(count));
        break;
      case PartKind::columns:
        columns_ = std::move(*values);
        break;
      case PartKind::values:
        elements_ = std::move(*values);
        break;
      case PartKind::row_ids:
        for (std::size_t i = 0; i < values->size(); ++i) replaced_[static_cast<std::int64_t>((*values)[i])] = static_cast<std::int64_t>(i);
        break;
      default:
        break;  // rows are read one by one, and plan_merged_tensors has refused what is not known
    }
  }
  if (!a_.empty() && !b_.empty()) find_low_rank();
  return {};
}

// A record has A [rank, in] and B [out, rank]. The rows of a weight are its outputs, those of the embedding its inputs.
void MergedNumbers::find_low_rank() {
  rank_ = record_.rank;
  if (tensor_.use == MergedUse::embedding) {
    factors_ = transposed(a_, rank_, record_.in);
    basis_ = transposed(b_, record_.out, rank_);
  } else {
    factors_ = std::move(b_);
    basis_ = std::move(a_);
  }
  a_ = b_ = {};
  sums_.resize(static_cast<std::size_t>(cols_));
}

Status MergedNumbers::compute(std::span<double> out, std::span<const float> base, std::int64_t row_begin) {
  if (tensor_.shape.size() == 1) {
    compute_vector(out, base);
    return {};
  }
  const std::int64_t row_count = std::ssize(out) / cols_;
  for (std::int64_t i = 0; i < row_count; ++i) {
    double* const to = out.data() + i * cols_;
    const float* const from = base.data() + i * cols_;
    const std::int64_t row = row_begin + i;
    if (tensor_.use == MergedUse::embedding) {
      std::copy_n(from, cols_, to);
      if (Status replaced = replace_row(to, row); !replaced) return replaced;
      if (rank_ == 0) continue;
      sum_low_rank(row);
      for (std::int64_t col = 0; col < cols_; ++col) to[col] += weight_ * record_.scale * sums_[static_cast<std::size_t>(col)];
      if (!gain_.empty()) std::transform(to, to + cols_, gain_.begin(), to, std::multiplies<double>());
    } else {
      compute_product_row(to, from, row);
      if (Status replaced = replace_row(to, row); !replaced) return replaced;
    }
  }
  return {};
}

void MergedNumbers::compute_vector(std::span<double> out, std::span<const float> base) const {
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (tensor_.use == MergedUse::gain) {
      out[i] = static_cast<double>(gain_.empty() ? base[i] : gain_[i]);
      continue;
    }
    out[i] = static_cast<double>(bias_replacing_.empty() ? base[i] : bias_replacing_[i]);
    if (!bias_added_.empty()) out[i] += weight_ * record_.scale * static_cast<double>(bias_added_[i]);
  }
}

void MergedNumbers::compute_product_row(double* out, const float* base, std::int64_t row) {
  const auto of_row = [&](const std::vector<float>& gains) {
    return gains.empty() ? 1.0 : static_cast<double>(gains[static_cast<std::size_t>(row)]);
  };
  std::copy_n(base, cols_, out);
  if (!input_gain_.empty()) std::transform(out, out + cols_, input_gain_.begin(), out, std::multiplies<double>());
  if (rank_ > 0) {
    sum_low_rank(row);
    if (record_.low_rank == LowRank::hadamard) std::transform(sums_.begin(), sums_.end(), base, sums_.begin(), std::multiplies<double>());
    const double factor = weight_ * record_.scale * of_row(delta_gain_);
    for (std::int64_t col = 0; col < cols_; ++col) out[col] += factor * sums_[static_cast<std::size_t>(col)];
  }
  add_elements(out, row);
  if (gain_.empty()) return;
  for (std::int64_t col = 0; col < cols_; ++col) out[col] *= of_row(gain_);
}

void MergedNumbers::add_elements(double* out, std::int64_t row) const {
  if (elements_.empty()) return;
  const auto index = static_cast<std::size_t>(row);
  for (std::size_t i = row > 0 ? element_ends_[index - 1] : 0; i < element_ends_[index]; ++i)
    out[static_cast<std::size_t>(columns_[i])] += weight_ * static_cast<double>(elements_[i]);
}

void MergedNumbers::sum_low_rank(std::int64_t row) {
  std::ranges::fill(sums_, 0.0);
  for (std::int64_t j = 0; j < rank_; ++j) {
    double factor = static_cast<double>(factors_[static_cast<std::size_t>(row * rank_ + j)]);
    if (!rank_gain_.empty()) factor *= static_cast<double>(rank_gain_[static_cast<std::size_t>(j)]);
    add_row(sums_.data(), factor, basis_.data() + j * cols_, cols_);
  }
}

Status MergedNumbers::replace_row(double* out, std::int64_t row) {
  const AdapterPart* const rows = record_.find(PartKind::rows);
  if (rows == nullptr) return {};
  std::int64_t index = row;  // without a list, of all
  if (record_.find(PartKind::row_ids) != nullptr) {
    const auto listed = replaced_.find(row);
    if (listed == replaced_.end()) return {};
    index = listed->second;
  }
  const Result<std::vector<float>> values = reader_.read_row(*rows, index);
  if (!values) return tl::unexpected(values.error());
  std::ranges::copy(*values, out);
  return {};
}

}  // namespace slora
