#include "comm/nccl/library/nccl_library.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <nccl.h>

#include <cstring>

#include "base/check.h"

namespace slora::cuda {
namespace {

constexpr int kVersionMin = 21300;  // the first that tells its last error
constexpr int kVersionSharesDevices = 23000;

static_assert(sizeof(ncclUniqueId) == sizeof(NcclLibrary::GroupId));

// What is used of NCCL, by the names and types of its header.
struct Functions {
  decltype(&ncclGetVersion) get_version = nullptr;
  decltype(&ncclGetErrorString) get_error_string = nullptr;
  decltype(&ncclGetLastError) get_last_error = nullptr;
  decltype(&ncclGetUniqueId) get_unique_id = nullptr;
  decltype(&ncclCommInitRank) comm_init_rank = nullptr;
  decltype(&ncclCommDestroy) comm_destroy = nullptr;
  decltype(&ncclAllReduce) all_reduce = nullptr;
  decltype(&ncclAllGather) all_gather = nullptr;
  decltype(&ncclSend) send = nullptr;
  decltype(&ncclRecv) recv = nullptr;
  decltype(&ncclGroupStart) group_start = nullptr;
  decltype(&ncclGroupEnd) group_end = nullptr;

  [[nodiscard]] Status status_of(const char* call, ncclResult_t result, ncclComm_t communicator = nullptr) const {
    if (result == ncclSuccess) return {};
    return error("E_DEVICE", "{}: {}: {}", call, get_error_string(result), get_last_error(communicator));
  }
};

class LoadedRank final : public NcclRank {
 public:
  LoadedRank(const Functions& functions, ncclComm_t communicator, int rank_count)
      : nccl_(functions), communicator_(communicator), rank_count_(rank_count) {}
  ~LoadedRank() override { static_cast<void>(nccl_.comm_destroy(communicator_)); }
  LoadedRank(const LoadedRank&) = delete;
  LoadedRank& operator=(const LoadedRank&) = delete;

  // Of one number all ranks receive the same sum, which one of them or the switch has made, in an order of NCCL's choice.
  Status all_reduce(Stream stream, float* x, std::size_t count) override {
    return status_of("ncclAllReduce", nccl_.all_reduce(x, x, count, ncclFloat32, ncclSum, communicator_, stream));
  }
  Status all_gather(Stream stream, float* to, const float* from, std::size_t count) override {
    return status_of("ncclAllGather", nccl_.all_gather(from, to, count, ncclFloat32, communicator_, stream));
  }
  Status receive_from_others(Stream stream, float* to, std::size_t count) override {
    if (Status started = status_of("ncclGroupStart", nccl_.group_start()); !started) return started;
    Status received;
    for (int rank = 1; rank < rank_count_ && received; ++rank, to += count) {
      received = status_of("ncclRecv", nccl_.recv(to, count, ncclFloat32, rank, communicator_, stream));
    }
    Status ended = status_of("ncclGroupEnd", nccl_.group_end());
    return received ? ended : received;
  }
  Status send_to_first(Stream stream, const float* from, std::size_t count) override {
    return status_of("ncclSend", nccl_.send(from, count, ncclFloat32, 0, communicator_, stream));
  }

 private:
  [[nodiscard]] Status status_of(const char* call, ncclResult_t result) const { return nccl_.status_of(call, result, communicator_); }

  const Functions nccl_;
  const ncclComm_t communicator_;
  const int rank_count_;
};

class LoadedNccl final : public NcclLibrary {
 public:
  LoadedNccl(const Functions& functions, int version) : nccl_(functions), version_(version) {}

  std::string version() const override { return fmt::format("{}.{}.{}", version_ / 10000, version_ / 100 % 100, version_ % 100); }
  bool may_share_devices() const override { return version_ >= kVersionSharesDevices; }
  Result<GroupId> make_group() const override {
    ncclUniqueId id;
    if (Status made = nccl_.status_of("ncclGetUniqueId", nccl_.get_unique_id(&id)); !made) return forward_error(made);
    GroupId group;
    std::memcpy(group.data(), id.internal, group.size());
    return group;
  }
  Result<std::unique_ptr<NcclRank>> join(const GroupId& group, int rank, int rank_count) const override {
    ncclUniqueId id;
    std::memcpy(id.internal, group.data(), group.size());
    ncclComm_t communicator = nullptr;
    if (Status joined = nccl_.status_of("ncclCommInitRank", nccl_.comm_init_rank(&communicator, rank_count, id, rank)); !joined) {
      return forward_error(joined);
    }
    return std::make_unique<LoadedRank>(nccl_, communicator, rank_count);
  }

 private:
  const Functions nccl_;
  const int version_;
};

template <class Function>
Status find(void* library, const std::string& file, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  if (function != nullptr) return {};
  return error("E_NCCL", "{}: expected a function {}; it is no NCCL of 2.13 or later", file, name);
}

Result<Functions> find_functions(void* library, const std::string& file) {
  Functions functions;
  Status found;
  const auto add = [&](const char* name, auto& function) {
    if (found) found = find(library, file, name, function);
  };
  add("ncclGetVersion", functions.get_version);
  add("ncclGetErrorString", functions.get_error_string);
  add("ncclGetLastError", functions.get_last_error);
  add("ncclGetUniqueId", functions.get_unique_id);
  add("ncclCommInitRank", functions.comm_init_rank);
  add("ncclCommDestroy", functions.comm_destroy);
  add("ncclAllReduce", functions.all_reduce);
  add("ncclAllGather", functions.all_gather);
  add("ncclSend", functions.send);
  add("ncclRecv", functions.recv);
  add("ncclGroupStart", functions.group_start);
  add("ncclGroupEnd", functions.group_end);
  if (!found) return forward_error(found);
  return functions;
}

}  // namespace

Result<std::unique_ptr<const NcclLibrary>> load_nccl(const std::string& file) {
  void* const library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return error("E_NCCL", "NCCL: {}", dlerror());
  Result<Functions> functions = find_functions(library, file);
  if (!functions) return forward_error(functions);
  int version = 0;
  if (Status told = functions->status_of("ncclGetVersion", functions->get_version(&version)); !told) return forward_error(told);
  if (version < kVersionMin) return error("E_NCCL", "{}: expected NCCL of 2.13 or later, found version {}", file, version);
  return std::make_unique<LoadedNccl>(*functions, version);
}

}  // namespace slora::cuda
