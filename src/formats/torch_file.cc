#include "formats/torch_file.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/checked.h"
#include "formats/json.h"
#include "formats/pickle.h"
#include "formats/zip_entries.h"

namespace slora {
namespace {

using Kind = Pickle::Kind;

constexpr std::uint64_t kPickleBytesMax = std::uint64_t{16} << 20;
constexpr std::size_t kTensorsMax = 16384;
constexpr std::size_t kDimensionsMax = 8;

constexpr std::string_view kOrdered = "collections OrderedDict", kTensor = "torch._utils _rebuild_tensor_v2",
                           kParameter = "torch._utils _rebuild_parameter";
constexpr std::array<std::string_view, 13> kNames = {kOrdered,
                                                     kTensor,
                                                     kParameter,
                                                     "torch FloatStorage",
                                                     "torch HalfStorage",
                                                     "torch BFloat16Storage",
                                                     "torch DoubleStorage",
                                                     "torch LongStorage",
                                                     "torch IntStorage",
                                                     "torch ShortStorage",
                                                     "torch CharStorage",
                                                     "torch ByteStorage",
                                                     "torch BoolStorage"};

std::optional<DType> dtype_of_storage(std::string_view name) {
  constexpr std::array kTypes = {DType::f32, DType::f16, DType::bf16, DType::f64, DType::i64,
                                 DType::i32, DType::i16, DType::i8,   DType::u8,  DType::boolean};
  const auto* at = std::ranges::find(kNames, name);
  const auto index = at - kNames.begin() - 3;  // after the names that are no storages
  return index >= 0 && at != kNames.end() ? std::optional(kTypes[static_cast<std::size_t>(index)]) : std::nullopt;
}

// A tensor as the pickle describes it: a view of a storage.
struct TensorView {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape, stride;  // in elements
  std::int64_t begin = 0;                   // of the storage's elements
  std::string storage;                      // its key
  std::int64_t storage_count = 0;           // of elements
};

struct Range {
  std::uint64_t offset = 0, bytes = 0;
};
using Storages = std::map<std::string, Range, std::less<>>;  // where their bytes lie in the file

tl::unexpected<Error> refuse_entry(std::string_view name, std::string_view what) {
  return error("E_PICKLE", "entry {}: expected a tensor, found {}", quote(name), what);
}

std::optional<std::int64_t> size_at(const Pickle& pickle, Pickle::Index index) {
  const Pickle::Value& value = pickle.at(index);
  return value.kind == Kind::integer && value.integer >= 0 ? std::optional(value.integer) : std::nullopt;
}

std::optional<std::vector<std::int64_t>> sizes_at(const Pickle& pickle, Pickle::Index index) {
  const Pickle::Value& tuple = pickle.at(index);
  if (tuple.kind != Kind::tuple || tuple.items.size() > kDimensionsMax) return std::nullopt;
  std::vector<std::int64_t> sizes;
  for (const Pickle::Index item : tuple.items) {
    const std::optional<std::int64_t> size = size_at(pickle, item);
    if (!size) return std::nullopt;
    sizes.push_back(*size);
  }
  return sizes;
}

// ("storage", its type, its key, the device, the number of elements); the form before zip has one item more, a view.
bool take_storage(TensorView& tensor, const Pickle& pickle, const Pickle::Value& persistent) {
  if (persistent.kind != Kind::persistent) return false;
  const Pickle::Value& tuple = pickle.at(persistent.argument);
  if (tuple.kind != Kind::tuple || tuple.items.size() < 5 || tuple.items.size() > 6) return false;
  if (tuple.items.size() == 6 && pickle.at(tuple.items[5]).kind != Kind::none) return false;
  const Pickle::Value &word = pickle.at(tuple.items[0]), &type = pickle.at(tuple.items[1]), &key = pickle.at(tuple.items[2]);
  const std::optional<DType> dtype = type.kind == Kind::name ? dtype_of_storage(type.text) : std::nullopt;
  const std::optional<std::int64_t> count = size_at(pickle, tuple.items[4]);
  if (word.kind != Kind::text || word.text != "storage" || !dtype || key.kind != Kind::text || !count) return false;
  tensor.dtype = *dtype;
  tensor.storage = key.text;
  tensor.storage_count = *count;
  return true;
}

Result<TensorView> tensor_at(const Pickle& pickle, std::string_view name, Pickle::Index index) {
  const Pickle::Value* value = &pickle.at(index);
  const bool is_parameter = value->kind == Kind::call && value->text == kParameter;
  if (is_parameter && !pickle.at(value->argument).items.empty()) value = &pickle.at(pickle.at(value->argument).items[0]);
  if (value->kind != Kind::call || value->text != kTensor) return refuse_entry(name, "something else");
  const std::vector<Pickle::Index>& arguments = pickle.at(value->argument).items;  // storage, begin, shape, stride, ...
  TensorView tensor;
  tensor.name = name;
  if (arguments.size() < 4 || !take_storage(tensor, pickle, pickle.at(arguments[0])))
    return refuse_entry(name, "one without a storage of a known type");
  const std::optional<std::int64_t> begin = size_at(pickle, arguments[1]);
  std::optional<std::vector<std::int64_t>> shape = sizes_at(pickle, arguments[2]), stride = sizes_at(pickle, arguments[3]);
  if (!begin || !shape || !stride || shape->size() != stride->size()) return refuse_entry(name, "one without a shape");
  tensor.begin = *begin;
  tensor.shape = *std::move(shape);
  tensor.stride = *std::move(stride);
  return tensor;
}

Result<std::vector<TensorView>> tensors_of(const Pickle& pickle) {
  const Pickle::Value& root = pickle.at(pickle.root);
  const bool is_dictionary = root.kind == Kind::dictionary || (root.kind == Kind::call && root.text == kOrdered);
  if (!is_dictionary) return error("E_PICKLE", "expected a dictionary of tensors, found something else");
  if (root.items.size() / 2 > kTensorsMax)
    return error("E_PICKLE", "expected at most {} tensors, found {}", kTensorsMax, root.items.size() / 2);
  std::vector<TensorView> tensors;
  for (std::size_t i = 0; i + 1 < root.items.size(); i += 2) {
    const Pickle::Value& key = pickle.at(root.items[i]);
    if (key.kind != Kind::text) return error("E_PICKLE", "expected a dictionary with names as keys, found another key");
    Result<TensorView> tensor = tensor_at(pickle, key.text, root.items[i + 1]);
    if (!tensor) return forward_error(tensor);
    tensors.push_back(std::move(*tensor));
  }
  return tensors;
}

// The number of elements, and one more than the place of the last one in the storage; nothing if either does not fit.
std::optional<std::pair<std::int64_t, std::int64_t>> extent_of(const TensorView& tensor) {
  std::optional<std::int64_t> count = 1, end = checked_add<std::int64_t>(tensor.begin, 1);
  for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
    count = count ? checked_mul(*count, tensor.shape[i]) : std::nullopt;
    if (tensor.shape[i] == 0) continue;
    const std::optional<std::int64_t> reach = checked_mul(tensor.shape[i] - 1, tensor.stride[i]);
    end = end && reach ? checked_add(*end, *reach) : std::nullopt;
  }
  if (!count || !end) return std::nullopt;
  return std::pair(*count, *count == 0 ? tensor.begin : *end);
}

bool is_contiguous(const TensorView& tensor) {
  std::int64_t expected = 1;
  for (std::size_t i = tensor.shape.size(); i-- > 0;) {
    if (tensor.shape[i] != 1 && tensor.stride[i] != expected) return false;
    expected *= tensor.shape[i];
  }
  return true;
}

// Copies the elements of a view, of which `source` has those from the first one on.
void gather(std::span<std::byte> out, std::span<const std::byte> source, const TensorView& tensor) {
  const std::size_t element = bytes_of(tensor.dtype);
  std::vector<std::int64_t> at(tensor.shape.size(), 0);  // the index of the element
  for (std::size_t i = 0; i < out.size() / element; ++i) {
    std::int64_t place = 0;
    for (std::size_t axis = 0; axis < at.size(); ++axis) place += at[axis] * tensor.stride[axis];
    std::memcpy(&out[i * element], &source[static_cast<std::size_t>(place) * element], element);
    for (std::size_t axis = at.size(); axis-- > 0;) {
      if (++at[axis] < tensor.shape[axis]) break;
      at[axis] = 0;
    }
  }
}

Result<ReadableTensor> readable_view(const std::shared_ptr<const ReadOnlyFile>& file, TensorView view, const Storages& storages) {
  const std::size_t element = bytes_of(view.dtype);
  const auto extent = extent_of(view);
  if (!extent || extent->second > view.storage_count || extent->first > view.storage_count)
    return error("E_PICKLE", "tensor {}: expected a shape within the {} numbers that it names, found a larger one", quote(view.name),
                 view.storage_count);
  const auto storage = storages.find(view.storage);
  const std::optional<std::uint64_t> bytes = checked_mul<std::uint64_t>(static_cast<std::uint64_t>(view.storage_count), element);
  if (storage == storages.end() || !bytes || storage->second.bytes != *bytes) {
    return error("E_PICKLE", "tensor {}: expected {} numbers of type {} in the file, found {} bytes", quote(view.name), view.storage_count,
                 name_of(view.dtype), storage != storages.end() ? storage->second.bytes : 0);
  }
  const std::uint64_t begin = storage->second.offset + static_cast<std::uint64_t>(view.begin) * element;
  const auto reach = static_cast<std::size_t>(extent->second - view.begin) * element;  // from the first element to the last
  TensorInfo info{view.name, view.dtype, view.shape, begin, static_cast<std::uint64_t>(extent->first) * element};
  if (info.bytes == 0 || is_contiguous(view)) {
    return ReadableTensor{std::move(info), [file, begin](std::span<std::byte> out) { return file->read_at(out, begin); }};
  }
  return ReadableTensor{std::move(info), [file, begin, reach, view = std::move(view)](std::span<std::byte> out) -> Status {
                          std::vector<std::byte> source(reach);
                          if (Status read = file->read_at(source, begin); !read) return read;
                          gather(out, source, view);
                          return {};
                        }};
}

Result<std::vector<ReadableTensor>> readable_views(const std::shared_ptr<const ReadOnlyFile>& file, std::vector<TensorView> views,
                                                   const Storages& storages) {
  std::vector<ReadableTensor> tensors;
  std::uint64_t bytes = 0;
  for (TensorView& view : views) {
    Result<ReadableTensor> tensor = readable_view(file, std::move(view), storages);
    if (!tensor) return forward_error(tensor);
    bytes += tensor->info.bytes;
    // Views may share numbers, but not so many times that a small file would become a large one.
    if (bytes > 2 * file->bytes())
      return error("E_PICKLE", "expected tensors of at most twice the file's {} bytes, found more", file->bytes());
    tensors.push_back(std::move(*tensor));
  }
  return tensors;
}

Result<std::vector<std::byte>> read_bytes(const ReadOnlyFile& file, std::uint64_t offset, std::uint64_t count) {
  std::vector<std::byte> bytes(count);
  if (Status read = file.read_at(bytes, offset); !read) return forward_error(read);
  return bytes;
}

Result<std::vector<ReadableTensor>> read_zip_form(const std::shared_ptr<const ReadOnlyFile>& file) {
  constexpr std::string_view kPickle = "data.pkl";
  const Result<std::vector<ZipEntry>> entries = read_zip_entries(*file);
  if (!entries) return tl::unexpected(entries.error());
  const auto described = std::ranges::find_if(*entries, [&](const ZipEntry& entry) { return entry.name.ends_with("/data.pkl"); });
  if (described == entries->end()) return error("E_PICKLE", "expected a file of torch.save, found a zip archive without data.pkl");
  const std::string folder = described->name.substr(0, described->name.size() - kPickle.size());
  Storages storages;
  for (const ZipEntry& entry : *entries) {
    if (entry.name.starts_with(folder + "data/"))
      storages.insert_or_assign(entry.name.substr(folder.size() + 5), Range{entry.offset, entry.bytes});
    if (entry.name != folder + "byteorder" || entry.bytes > kPickleBytesMax) continue;
    const Result<std::vector<std::byte>> order = read_bytes(*file, entry.offset, entry.bytes);
    if (!order) return tl::unexpected(order.error());
    const std::string_view text(reinterpret_cast<const char*>(order->data()), order->size());
    if (text != "little") return error("E_PICKLE", "byteorder: expected little, found {}", quote(text));
  }
  if (described->bytes > kPickleBytesMax)
    return error("E_PICKLE", "expected a pickle of at most {} bytes, found {}", kPickleBytesMax, described->bytes);
  const Result<std::vector<std::byte>> bytes = read_bytes(*file, described->offset, described->bytes);
  if (!bytes) return tl::unexpected(bytes.error());
  const Result<Pickle> pickle = parse_pickle(*bytes, kNames);
  if (!pickle) return tl::unexpected(pickle.error());
  Result<std::vector<TensorView>> views = tensors_of(*pickle);
  if (!views) return forward_error(views);
  return readable_views(file, std::move(*views), storages);
}

// Where the storages lie that follow the pickles, in the order of `keys`: each after its number of elements.
Result<Storages> find_storages(const ReadOnlyFile& file, const Pickle& keys, const std::vector<TensorView>& views, std::uint64_t at) {
  std::map<std::string_view, DType> types;
  for (const TensorView& view : views) types.emplace(view.storage, view.dtype);
  Storages storages;
  for (const Pickle::Index item : keys.at(keys.root).items) {
    const Pickle::Value& key = keys.at(item);
    const auto type = key.kind == Kind::text ? types.find(key.text) : types.end();
    if (type == types.end()) return error("E_PICKLE", "expected storages of its tensors, found another one");
    std::array<std::byte, 8> count_bytes{};
    if (at > file.bytes() || file.bytes() - at < count_bytes.size()) return error("E_PICKLE", "expected its storages, found the end");
    if (Status read = file.read_at(count_bytes, at); !read) return forward_error(read);
    std::uint64_t count = 0;
    std::memcpy(&count, count_bytes.data(), sizeof(count));
    const std::optional<std::uint64_t> bytes = checked_mul<std::uint64_t>(count, bytes_of(type->second));
    at += sizeof(count);
    if (!bytes || *bytes > file.bytes() - at) return error("E_PICKLE", "storage {}: expected its numbers in the file", quote(key.text));
    storages.insert_or_assign(std::string(key.text), Range{at, *bytes});
    at += *bytes;
  }
  return storages;
}

// Whether the facts of the machine say that its numbers are little-endian.
bool is_little_endian(const Pickle& facts) {
  const std::vector<Pickle::Index>& items = facts.at(facts.root).items;
  for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
    if (facts.at(items[i]).text == "little_endian") return facts.at(items[i + 1]).integer != 0;
  }
  return false;
}

// Five pickles: a magic number, a version, facts of the machine, the dictionary, the keys of its storages; then the storages.
Result<std::vector<ReadableTensor>> read_old_form(const std::shared_ptr<const ReadOnlyFile>& file) {
  constexpr std::string_view kMagic("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 10);
  const Result<std::vector<std::byte>> bytes = read_bytes(*file, 0, std::min(file->bytes(), kPickleBytesMax));
  if (!bytes) return tl::unexpected(bytes.error());
  std::vector<Pickle> pickles;
  std::uint64_t at = 0;
  for (int i = 0; i < 5; ++i) {
    Result<Pickle> pickle = parse_pickle(std::span(*bytes).subspan(at), kNames);
    if (!pickle) return forward_error(pickle);
    at += pickle->bytes;
    const Pickle::Value& root = pickle->at(pickle->root);
    if (i == 0 && (root.kind != Kind::long_integer || root.text != kMagic))
      return error("E_PICKLE", "expected a file of torch.save, found another pickle");
    if (i == 1 && (root.kind != Kind::integer || root.integer != 1001))
      return error("E_PICKLE", "expected version 1001 of PyTorch's old form, found another one");
    pickles.push_back(std::move(*pickle));
  }
  if (!is_little_endian(pickles[2])) return error("E_PICKLE", "expected little-endian numbers, found others");
  Result<std::vector<TensorView>> views = tensors_of(pickles[3]);
  if (!views) return forward_error(views);
  const Result<Storages> storages = find_storages(*file, pickles[4], *views, at);
  if (!storages) return tl::unexpected(storages.error());
  return readable_views(file, std::move(*views), *storages);
}

}  // namespace

Result<std::vector<ReadableTensor>> read_torch_file(ReadOnlyFile file) {
  std::array<std::byte, 4> first{};
  if (file.bytes() < first.size()) return error("E_PICKLE", "{}: expected a file of torch.save, found {} bytes", file.name(), file.bytes());
  if (Status read = file.read_at(first, 0); !read) return forward_error(read);
  const bool is_zip = std::string_view(reinterpret_cast<const char*>(first.data()), 2) == "PK";
  const auto shared = std::make_shared<const ReadOnlyFile>(std::move(file));
  Result<std::vector<ReadableTensor>> tensors = is_zip ? read_zip_form(shared) : read_old_form(shared);
  if (tensors || tensors.error().message.starts_with(shared->name())) return tensors;
  return error(tensors.error().code, "{}: {}", shared->name(), tensors.error().message);
}

}  // namespace slora
