#pragma once
#include "kernels/cuda/args.h"
#include "kernels/cuda/stream.h"
#include "ops/sampling.h"
#include "tensor/tensor.h"

namespace slora::cuda {

// How tokens are drawn: the device's part of a SampleBatch, all in device memory. A row's parts are of these arrays; each token that a list
// names is of the vocabulary, and the lists of a row are sorted as SampleRow says.
struct SampleArgs {
  const SampleRow* rows;     // [rows of logits]
  const TokenCount* counts;  // may be null, as the three after it, where no row has a part of it
  const TokenId* tokens;
  const TokenBias* biases;
  const std::uint32_t* masks;
  const TokenResult* previous;  // what the previous step's sample wrote; read at pending_row, and may be null where no row has one
  RowCount row_count;           // rows from *row_count on have no SampleRow, and no result is written
};

// Draws out[i] from logits row i as kernels/reference/sample.h says: the same token, unless the draw or a cut lies within 1e-6 of a
// boundary; none (-1) where a logit is NaN or none is finite. Its log-probabilities are off by at most 5e-6. logits [rows, vocab] fp32 are
// not changed. scratch [rows, vocab] fp32 need not be initialised: it holds the adjusted logits of rows with bias, penalties, bans or a
// mask. out [rows], which is not `previous`: the blocks of rows run in any order, and one may read what another has overwritten. The launch
// depends on the tensors' shapes and on no number in device memory, so that it may be captured.
void sample(Stream stream, TokenResult* out, Tensor logits, Tensor scratch, const SampleArgs& args);

}  // namespace slora::cuda
