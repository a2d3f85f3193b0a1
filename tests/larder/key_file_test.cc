#include "tools/larder/key_file.h"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

using larder::operate::KeyFile;

namespace {

std::vector<std::string> keys_in(const KeyFile& file) {
  std::vector<std::string> keys;
  file.for_each(0, [&](std::string_view key) {
    keys.emplace_back(key);
    return true;
  });
  return keys;
}

}  // namespace

TEST_CASE("keys of all lengths and bytes come back in their order, also in between") {
  KeyFile file;
  CHECK(keys_in(file).empty());
  std::vector<std::string> kept;
  for (size_t batch = 0; batch < 20; ++batch) {
    std::vector<std::string> keys;
    for (size_t i = 0; i < 100; ++i) {
      keys.emplace_back((batch * 37 + i * 11) % 256, static_cast<char>(i));
    }
    file.append(std::vector<std::string_view>(keys.begin(), keys.end()));
    kept.insert(kept.end(), keys.begin(), keys.end());
    CHECK(keys_in(file) == kept);
  }
  size_t seen = 0;
  file.for_each(0, [&](std::string_view) { return ++seen < 7; });
  CHECK(seen == 7);
}

TEST_CASE("a visit of keys that was ended goes on from its place") {
  KeyFile file;
  std::vector<std::string> kept;
  for (size_t i = 0; i < 1000; ++i) kept.emplace_back(i * 11 % 256, static_cast<char>(i));
  file.append(std::vector<std::string_view>(kept.begin(), kept.end()));
  std::vector<std::string> keys;
  uint64_t place = 0;
  for (size_t most = 1; keys.size() < kept.size(); most += 90) {
    size_t seen = 0;
    place = file.for_each(place, [&](std::string_view key) {
      keys.emplace_back(key);
      return ++seen < most;
    });
  }
  CHECK(keys == kept);
  CHECK(file.for_each(place, [](std::string_view) { return true; }) == place);
}

TEST_CASE("a folder that is not there is named") {
  const char* const before = std::getenv("TMPDIR");
  const std::string kept = before != nullptr ? before : "";
  setenv("TMPDIR", "/nowhere", 1);
  CHECK_THROWS_WITH(KeyFile(), Catch::Contains("'/nowhere'"));
  before != nullptr ? setenv("TMPDIR", kept.c_str(), 1) : unsetenv("TMPDIR");
}
