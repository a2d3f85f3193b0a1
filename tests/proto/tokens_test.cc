#include "proto/tokens.h"

#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <vector>

using namespace larder::proto;

namespace {

std::vector<std::string> split(std::string text) {
  const Tokens tokens({text.data(), text.data() + text.size()});
  std::vector<std::string> found;
  for (size_t i = 0; i < tokens.count(); ++i) found.emplace_back(tokens[i]);
  return found;
}

bool ends_with_noreply(std::string text) {
  return Tokens({text.data(), text.data() + text.size()}).ends_with_noreply();
}

template <class Integer>
struct Reading {
  const char* text;
  bool ok;
  Integer value;
};

}  // namespace

TEST_CASE("a line is cut at runs of blanks, and only there") {
  using Words = std::vector<std::string>;
  CHECK(split("") == Words{});
  CHECK(split("    ") == Words{});
  CHECK(split("get") == Words{"get"});
  CHECK(split("  get   a\tb  c ") == Words{"get", "a\tb", "c"});
  CHECK(split("a\rb c\r") == Words{"a\rb", "c\r"});
}

TEST_CASE("what follows the last possible token belongs to none") {
  std::string line = "verb";
  for (int i = 1; i < 23; ++i) line += " t" + std::to_string(i);
  CHECK(split(line).size() == kMaxTokens);
  CHECK(split(line + " beyond").size() == kMaxTokens);
  CHECK(split(line + " beyond").back() == "t22");
  CHECK_FALSE(ends_with_noreply(line + " noreply"));
}

TEST_CASE("noreply is seen as the last token only") {
  CHECK(ends_with_noreply("set k 0 0 1 noreply"));
  CHECK(ends_with_noreply("noreply  "));
  CHECK_FALSE(ends_with_noreply("set noreply x"));
  CHECK_FALSE(ends_with_noreply("set noreplyx"));
  CHECK_FALSE(ends_with_noreply("set NOREPLY"));
  CHECK_FALSE(ends_with_noreply(""));
}

TEST_CASE("the first blank or newline is found at every place and alignment") {
  for (const char stop : {' ', '\n'}) {
    for (size_t size = 0; size < 40; ++size) {
      for (size_t at = 0; at <= size; ++at) {
        // Neighbours of both in the alphabet, which a careless comparison would take for them.
        std::string filler;
        for (size_t i = 0; i < size; ++i) filler += "\x0b!\x09\x1f\x8a\xa0"[i % 6];
        if (at < size) filler[at] = stop;
        const auto exact = std::make_unique<char[]>(size);
        filler.copy(exact.get(), size);
        CHECK(find_blank_or_newline(exact.get(), exact.get() + size) == exact.get() + at);
      }
    }
  }
}

TEST_CASE("strict numbers are digits and nothing else") {
  const Reading<uint32_t> unsigned_readings[] = {
      {"0", true, 0},
      {"7", true, 7},
      {"00000000007", true, 7},
      {"000000000007", false, 0},  // too long before it is read
      {"4294967295", true, 4294967295u},
      {"4294967296", false, 0},
      {"99999999999", false, 0},
      {"", true, 0},
      {"-1", false, 0},
      {"+1", false, 0},
      {"1 ", false, 0},
      {"1x", false, 0},
  };
  for (const auto& [text, ok, value] : unsigned_readings) {
    INFO(text);
    uint32_t out = 0;
    CHECK(read_u32(text, out) == ok);
    CHECK(out == value);
  }
  const Reading<int32_t> signed_readings[] = {
      {"2147483647", true, 2147483647},
      {"2147483648", false, 0},
      {"-2147483648", true, INT32_MIN},
      {"-2147483649", false, 0},
      {"-", true, 0},
      {"-0", true, 0},
      {"--1", false, 0},
      {"1-", false, 0},
      {"-0000000001", true, -1},
      {"-00000000001", false, 0},
  };
  for (const auto& [text, ok, value] : signed_readings) {
    INFO(text);
    int32_t out = 0;
    CHECK(read_i32(text, out) == ok);
    CHECK(out == value);
  }
  const Reading<uint64_t> wide_readings[] = {
      {"18446744073709551615", true, UINT64_MAX},
      {"18446744073709551616", false, 0},
      {"99999999999999999999", false, 0},
      {"0018446744073709551615", true, UINT64_MAX},
      {"00018446744073709551615", false, 0},
      {"-1", false, 0},
      {"x", false, 0},
  };
  for (const auto& [text, ok, value] : wide_readings) {
    INFO(text);
    uint64_t out = 0;
    CHECK(read_u64(text, out) == ok);
    CHECK(out == value);
  }
}

TEST_CASE("lax numbers read what strtoul and strtol would") {
  const auto flags = [](std::string text, uint32_t& out) {
    return read_lax_flags(text.data(), text.data() + text.size(), out);
  };
  const auto exptime = [](std::string text, int32_t& out) {
    return read_lax_exptime(text.data(), text.data() + text.size(), out);
  };
  const Reading<uint32_t> flag_readings[] = {
      {"5", true, 5},
      {"5 0 1", true, 5},
      {"123456789 1", true, 123456789},
      {"1234567890 1", true, 1234567890},
      {"+5 0", true, 5},
      {"\t 5 0", true, 5},
      {"5\t", true, 5},
      {"4294967295 0", true, 4294967295u},
      {"4294967296 0", true, 0},
      {"18446744073709551615 0", true, 4294967295u},
      {"18446744073709551616 0", false, 0},
      {"-1 0", false, 0},
      {"-0 0", true, 0},
      {"-18446744073709551615 0", true, 1},
      {"5x 0", false, 0},
      {"x", false, 0},
      {"", false, 0},
      {"- 0", false, 0},
      {"\t -", false, 0},
  };
  for (const auto& [text, ok, value] : flag_readings) {
    INFO(text);
    uint32_t out = 0;
    CHECK(flags(text, out) == ok);
    CHECK(out == value);
  }
  uint32_t before_nul = 0;
  CHECK(flags(std::string("5\0x", 3), before_nul));
  CHECK(before_nul == 5);
  const Reading<int32_t> time_readings[] = {
      {"0 1", true, 0},
      {"-1 1", true, -1},
      {"2147483648 1", true, INT32_MIN},
      {"4294967297 1", true, 1},
      {"9223372036854775807 1", true, -1},
      {"9223372036854775808 1", false, 0},
      {"-9223372036854775808 1", true, 0},
      {"-9223372036854775809 1", false, 0},
      {"99999999999999999999 1", false, 0},
      {"1e3 1", false, 0},
  };
  for (const auto& [text, ok, value] : time_readings) {
    INFO(text);
    int32_t out = 0;
    CHECK(exptime(text, out) == ok);
    CHECK(out == value);
  }
}
