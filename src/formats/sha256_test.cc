#include "formats/sha256.h"

#include <gtest/gtest.h>

#include <string_view>

namespace slora {
namespace {

std::span<const std::byte> bytes_of_text(std::string_view text) { return std::as_bytes(std::span(text)); }

TEST(Sha256, GivesThePublishedDigests) {
  EXPECT_EQ(hex(Sha256().finish()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  Sha256 hash;
  hash.update(bytes_of_text("abc"));
  EXPECT_EQ(hex(hash.finish()), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Sha256, DoesNotDependOnHowBytesAreCut) {
  Sha256 whole, pieces;
  whole.update(bytes_of_text("one and two"));
  pieces.update(bytes_of_text("one "));
  pieces.update({});
  pieces.update(bytes_of_text("and two"));
  EXPECT_EQ(whole.finish(), pieces.finish());
}

}  // namespace
}  // namespace slora
