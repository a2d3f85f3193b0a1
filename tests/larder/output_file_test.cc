#include "tools/larder/output_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

using namespace larder::operate;
namespace fs = std::filesystem;

namespace {

struct Folder {
  std::string path;
  Folder() {
    char name[] = "/tmp/larder-output-XXXXXX";
    REQUIRE(mkdtemp(name) != nullptr);
    path = name;
  }
  ~Folder() { fs::remove_all(path); }

  std::string at(const std::string& name) const { return path + "/" + name; }
  size_t files() const {
    return static_cast<size_t>(
        std::distance(fs::directory_iterator(path), fs::directory_iterator()));
  }
};

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void put(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

}  // namespace

TEST_CASE("a file takes its place when it is committed, and not before") {
  const Folder folder;
  put(folder.at("a"), "old");
  OutputFile file(folder.at("a"));
  REQUIRE(file.stream() != nullptr);
  std::fputs("new", file.stream());
  std::fflush(file.stream());
  CHECK(content(folder.at("a")) == "old");
  CHECK(folder.files() == 2);
  REQUIRE(file.commit());
  CHECK(content(folder.at("a")) == "new");
  CHECK(folder.files() == 1);
  struct stat status = {};
  REQUIRE(stat(folder.at("a").c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
}

TEST_CASE("a file that is not committed leaves nothing behind") {
  const Folder folder;
  put(folder.at("a"), "old");
  for (const char* const name : {"a", "new"}) {
    OutputFile file(folder.at(name));
    REQUIRE(file.stream() != nullptr);
    std::fputs("text", file.stream());
  }
  CHECK(content(folder.at("a")) == "old");
  CHECK(folder.files() == 1);
}

TEST_CASE("names as long as a file's name may be, and in the current folder, are written") {
  const Folder folder;
  const std::string name(255, 'n');
  {
    OutputFile file(folder.at(name));
    REQUIRE(file.stream() != nullptr);
    CHECK(file.commit());
  }
  CHECK(fs::exists(folder.at(name)));
  const fs::path before = fs::current_path();
  fs::current_path(folder.path);
  {
    OutputFile file("here");
    REQUIRE(file.stream() != nullptr);
    CHECK(file.commit());
  }
  fs::current_path(before);
  CHECK(fs::exists(folder.at("here")));
}

TEST_CASE("a file beside that somebody left behind is not touched") {
  const Folder folder;
  const std::string left = folder.at("a." + std::to_string(getpid()) + ".part");
  put(left, "left");
  {
    OutputFile file(folder.at("a"));
    REQUIRE(file.stream() != nullptr);
    CHECK(file.commit());
  }
  CHECK(content(left) == "left");
  CHECK(folder.files() == 2);
}

TEST_CASE("bytes that are lost are an error, and replace nothing") {
  OutputFile full("/dev/full");
  REQUIRE(full.stream() != nullptr);
  std::fputs("text", full.stream());
  CHECK_FALSE(full.commit());
  CHECK(full.error() == "No space left on device");
  OutputFile nowhere("/nothing/here");
  CHECK(nowhere.stream() == nullptr);
  CHECK(nowhere.error() == "No such file or directory");
}
