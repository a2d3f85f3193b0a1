#include "core/memory_file.h"

#include <catch2/catch.hpp>

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

#include "core/units.h"
#include "tests/support/temp_folder.h"
#include "tests/support/test_mount.h"

namespace {

using namespace larder::core;
using larder::test::TempFolder;
using larder::test::TestMount;

constexpr size_t kBytes = 1_MiB;

class Mapping {
 public:
  explicit Mapping(MemoryFile& file)
      : at_(static_cast<char*>(
            mmap(nullptr, kBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {
    REQUIRE(file.map(at_, {0, kBytes}));
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
  {
    MemoryFile file(path);
    const Mapping mapping(file);
    file.begin(false);
  }
  CHECK_THAT(why_cold(path), Catch::Contains("was not stopped gracefully"));
  CHECK_THROWS_AS(MemoryFile(folder.file("no/such/folder")), std::runtime_error);
}

TEST_CASE("a file with somebody's content is refused, and left as it was") {
  const TempFolder folder;
  const std::string path = folder.file("cache");
  const std::string letter = "somebody's letter, which is longer than a superblock";
  std::ofstream(path) << letter;
  std::filesystem::permissions(path, std::filesystem::perms(0600));
  CHECK_THROWS_WITH(MemoryFile(path), Catch::Contains("is not a memory file of larderd"));
  std::string content;
  std::getline(std::ifstream(path), content);
  CHECK(content == letter);
}

TEST_CASE("a file that another user can have written is refused") {
  const TempFolder folder;
  const std::string path = folder.file("cache");
  const auto set_mode = [](const std::string& name, unsigned mode) {
    std::filesystem::permissions(name, std::filesystem::perms(mode));
  };
  run_once(path, "s");
  SECTION("that others may write") {
    set_mode(path, 0666);
    CHECK_THROWS_WITH(MemoryFile(path), Catch::Contains("can be written by other users"));
  }
  SECTION("that the group may write, though it is empty") {
    std::ofstream(path, std::ios::trunc).close();
    set_mode(path, 0620);
    CHECK_THROWS_WITH(MemoryFile(path), Catch::Contains("can be written by other users"));
  }
  SECTION("that has another name") {
    std::filesystem::create_hard_link(path, folder.file("other"));
    CHECK_THROWS_WITH(MemoryFile(path), Catch::Contains("has another name"));
  }
  SECTION("that is a symbolic link") {
    std::filesystem::create_symlink(path, folder.file("link"));
    CHECK_THROWS_WITH(MemoryFile(folder.file("link")), Catch::Contains("is a symbolic link"));
    std::filesystem::create_symlink(folder.file("nowhere"), folder.file("dangling"));
    CHECK_THROWS_WITH(MemoryFile(folder.file("dangling")), Catch::Contains("is a symbolic link"));
    CHECK_FALSE(std::filesystem::exists(folder.file("nowhere")));
  }
  SECTION("whose snapshot others may write, or is a symbolic link") {
    MemoryFile file(path);
    set_mode(path + ".meta", 0602);
    CHECK_THROWS_WITH(file.read(), Catch::Contains(".meta' can be written by other users"));
    std::filesystem::rename(path + ".meta", folder.file("elsewhere"));
    std::filesystem::create_symlink(folder.file("elsewhere"), path + ".meta");
    CHECK_THROWS_WITH(file.read(), Catch::Contains(".meta' is a symbolic link"));
  }
  if (geteuid() == 0) {
    SECTION("that belongs to another user") {
      REQUIRE(chown(path.c_str(), 65534, 65534) == 0);
      CHECK_THROWS_WITH(MemoryFile(path), Catch::Contains("belongs to another user (65534)"));
    }
  }
}

TEST_CASE("a file that others may read is taken, and is its owner's alone from then on") {
  const TempFolder folder;
  const std::string path = folder.file("cache");
  std::ofstream(path).close();
  std::filesystem::permissions(path, std::filesystem::perms(0644));
  run_once(path, "s");
  struct stat status {};
  REQUIRE(stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
}

TEST_CASE("a snapshot is written beside a link of its draft's name, not through it") {
  const TempFolder folder;
  const std::string path = folder.file("cache");
  const std::string precious = folder.file("precious");
  std::ofstream(precious) << "precious";
  std::filesystem::create_symlink(precious, path + ".meta.tmp");
  run_once(path, "s");
  std::string content;
  std::getline(std::ifstream(precious), content);
  CHECK(content == "precious");
  CHECK(std::filesystem::is_regular_file(std::filesystem::symlink_status(path + ".meta")));
  MemoryFile file(path);
  CHECK(file.read().usable);
}

TEST_CASE("a memory file on hugetlbfs is refused with a sentence") {
  const TestMount huge("hugetlbfs", "");
  if (!huge.mounted()) {
    WARN("skipped: hugetlbfs cannot be mounted here: " << huge.why_not());
    return;
  }
  CHECK_THROWS_WITH(MemoryFile(huge.file("cache")), Catch::Contains("is on hugetlbfs"));
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
