#include "core/memory_file.h"

#include <catch2/catch.hpp>

#include <sys/mman.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

#include "core/units.h"
#include "tests/support/temp_folder.h"

namespace {

using namespace larder::core;
using larder::test::TempFolder;

constexpr size_t kBytes = 1_MiB;

class Mapping {
 public:
  explicit Mapping(const MemoryFile& file)
      : at_(static_cast<char*>(
            mmap(nullptr, kBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {
    REQUIRE(file.map(at_, kBytes));
  }
  ~Mapping() { munmap(at_, kBytes); }
  char& operator[](size_t i) { return at_[i]; }

 private:
  char* at_;
};

// One run that leaves "x" at 8192 and the snapshot.
void run_once(const std::string& path, const std::string& snapshot) {
  MemoryFile file(path);
  Mapping mapping(file);
  file.begin(false);
  mapping[8192] = 'x';
  REQUIRE(file.finish(snapshot));
}

std::string why_cold(const std::string& path) {
  MemoryFile file(path);
  const MemoryFile::Left left = file.read();
  REQUIRE_FALSE(left.usable);
  return left.why_not;
}

}  // namespace

TEST_CASE("what a run leaves is found by the next, as often as nobody begins to use it") {
  const TempFolder folder;
  const std::string path = folder.file("cache");
  run_once(path, "what is known");
  for (int i = 0; i < 2; ++i) {
    MemoryFile file(path);
    const MemoryFile::Left left = file.read();
    REQUIRE(left.usable);
    CHECK(left.snapshot == "what is known");
  }
  MemoryFile file(path);
  REQUIRE(file.read().usable);
  Mapping mapping(file);
  CHECK(mapping[8192] == 'x');
  file.begin(true);
  CHECK(mapping[8192] == 'x');
  CHECK_FALSE(file.read().usable);
  file.begin(false);
  CHECK(mapping[8192] == 0);
}

TEST_CASE("the files are their owner's alone") {
  const TempFolder folder;
  run_once(folder.file("cache"), "s");
  for (const char* name : {"cache", "cache.meta"}) {
    struct stat status {};
    REQUIRE(stat(folder.file(name).c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0600);
  }
}

TEST_CASE("a memory file has one user at a time") {
  const TempFolder folder;
  const MemoryFile first(folder.file("cache"));
  CHECK_THROWS_WITH(MemoryFile(folder.file("cache")), Catch::Contains("in use by another server"));
}

TEST_CASE("a file that is new, of another kind or of a run that was killed is a cold start") {
  const TempFolder folder;
  const std::string path = folder.file("cache");
  CHECK(why_cold(path) == "'" + path + "' is new");
  std::ofstream(path) << "somebody's letter, which is longer than a superblock";
  CHECK(why_cold(path) == "'" + path + "' is not a memory file of larderd");
  {
    MemoryFile file(path);
    const Mapping mapping(file);
    file.begin(false);
  }
  CHECK_THAT(why_cold(path), Catch::Contains("was not stopped gracefully"));
  CHECK_THROWS_AS(MemoryFile(folder.file("no/such/folder")), std::runtime_error);
}

TEST_CASE(
    "a snapshot with any byte changed, cut or longer is refused; an empty one stops the start") {
  const TempFolder folder;
  const std::string path = folder.file("cache");
  run_once(path, "all that is known of the items");
  std::string whole;
  {
    std::ifstream in(path + ".meta", std::ios::binary);
    whole.assign(std::istreambuf_iterator<char>(in), {});
  }
  const auto write = [&](const std::string& bytes) {
    std::ofstream(path + ".meta", std::ios::binary | std::ios::trunc) << bytes;
  };
  for (size_t i = 0; i < whole.size(); ++i) {
    std::string bad = whole;
    bad[i] = static_cast<char>(bad[i] ^ 0x10);
    write(bad);
    INFO(i);
    CHECK_FALSE(why_cold(path).empty());
  }
  for (size_t bytes = 1; bytes < whole.size(); ++bytes) {
    write(whole.substr(0, bytes));
    CHECK_FALSE(why_cold(path).empty());
  }
  write(whole + "x");
  CHECK(why_cold(path) == "'" + path + ".meta' is damaged");
  write("");
  MemoryFile file(path);
  CHECK_THROWS_WITH(file.read(), Catch::Contains("is empty"));
}

TEST_CASE("a memory file that was cut, changed or replaced since is a cold start") {
  const TempFolder folder;
  const std::string path = folder.file("cache");
  run_once(path, "s");
  std::filesystem::resize_file(path, kBytes - 4096);
  CHECK_THAT(why_cold(path), Catch::Contains("bytes and had"));

  run_once(path, "s");
  const std::string meta = folder.file("kept.meta");
  std::filesystem::copy_file(path + ".meta", meta);
  run_once(path, "s");
  std::filesystem::copy_file(meta, path + ".meta",
                             std::filesystem::copy_options::overwrite_existing);
  CHECK_THAT(why_cold(path), Catch::Contains("not of the same run"));

  run_once(path, "s");
  const auto stopped = std::filesystem::last_write_time(path);
  std::filesystem::last_write_time(path, stopped + std::chrono::milliseconds(1));
  CHECK_THAT(why_cold(path), Catch::Contains("was changed after its server had stopped"));
  std::filesystem::last_write_time(path, stopped);
  MemoryFile file(path);
  CHECK(file.read().usable);
}
