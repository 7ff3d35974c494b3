#pragma once
#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>

struct evp_md_ctx_st;

namespace slora {

using Sha256Digest = std::array<std::byte, 32>;

// SHA-256 of bytes that arrive in pieces. One thread; must not be used after finish().
class Sha256 {
 public:
  Sha256();
  void update(std::span<const std::byte> bytes);
  [[nodiscard]] Sha256Digest finish();

 private:
  struct Release {
    void operator()(evp_md_ctx_st* context) const;
  };
  std::unique_ptr<evp_md_ctx_st, Release> context_;
};

// 64 lowercase hexadecimal digits.
std::string hex(const Sha256Digest& digest);

}  // namespace slora
