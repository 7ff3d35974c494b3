#pragma once
#include <compare>
#include <cstdint>
#include <functional>

namespace slora {

// A number that can't be mistaken for another kind of number. `Tag` names the kind.
template <class Tag, class T>
struct Id {
  T value{};
  auto operator<=>(const Id&) const = default;
};

using TokenId = std::int32_t;  // index into the vocabulary; -1 means "none yet"

using PageIndex = Id<struct PageTag, std::uint32_t>;       // page of the pool
using SequenceId = Id<struct SequenceTag, std::uint64_t>;  // one token stream being generated; made by the engine, never by a client
using AdapterId = Id<struct AdapterTag, std::uint64_t>;    // one content of one adapter (identity and generation); 0 is the base model
using TenantId = Id<struct TenantTag, std::uint32_t>;  // whose data it is: cached prefixes are never shared between two; 0 is the operator
using ClientId =
    Id<struct ClientTag, std::uint64_t>;  // whom bounds and fairness count as one: a key's tenant, or one connection without a key

inline constexpr AdapterId kNoAdapter{0};

}  // namespace slora

template <class Tag, class T>
struct std::hash<slora::Id<Tag, T>> {
  std::size_t operator()(const slora::Id<Tag, T>& id) const noexcept { return std::hash<T>{}(id.value); }
};
