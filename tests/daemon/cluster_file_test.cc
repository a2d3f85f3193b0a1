#include "daemon/cluster_file.h"

#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/support/temp_folder.h"

namespace larder::daemon {
namespace {

constexpr std::chrono::seconds kPatience{20};
constexpr timeval kMoment = {0, 10'000};

void write_file(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

class Followed {
 public:
  explicit Followed(std::string name = "nodes")
      : path_(folder_.file(name)), file_(path_, discovery_) {}

  std::string path() const { return path_; }
  std::string beside(const std::string& name) const { return folder_.file(name); }
  ClusterFile& file() { return file_; }
  Discovery& discovery() { return discovery_; }
  void write(const std::string& text) { write_file(path_, text); }
  void replace(const std::string& text) {
    write_file(beside("draft"), text);
    std::filesystem::rename(beside("draft"), path_);
  }
  void follow() { file_.follow(base_.get()); }
  std::string told() const {
    const auto published = discovery_.published();
    return published == nullptr ? "" : published->text;
  }
  // Runs the event base for a moment, or until that is told.
  void pass() {
    event_base_loopexit(base_.get(), &kMoment);
    event_base_dispatch(base_.get());
  }
  bool comes_to(const std::string& text) {
    const auto until = std::chrono::steady_clock::now() + kPatience;
    while (told() != text && std::chrono::steady_clock::now() < until) pass();
    return told() == text;
  }

 private:
  const test::TempFolder folder_;
  const std::string path_;
  Discovery discovery_;
  EventBasePtr base_ = make_event_base();
  ClusterFile file_;  // before its base goes
};

TEST_CASE("a file is read, with its version or its time for one") {
  Followed followed;
  followed.write("12\na||1\n");
  followed.file().read();
  CHECK(followed.told() == "12\na||1\n");
  followed.write("b||1\n");
  struct stat status = {};
  REQUIRE(stat(followed.path().c_str(), &status) == 0);
  followed.file().read();
  const std::string told = std::to_string(status.st_mtim.tv_sec) + "\nb||1\n";
  CHECK(followed.told() == told);
  // Its time alone is no change.
  namespace fs = std::filesystem;
  fs::last_write_time(followed.path(),
                      fs::last_write_time(followed.path()) + std::chrono::seconds(60));
  followed.file().read();
  CHECK(followed.told() == told);
  followed.write("b||1 c||1\n");
  fs::last_write_time(followed.path(),
                      fs::last_write_time(followed.path()) - std::chrono::hours(1));
  followed.file().read();
  CHECK(followed.told() == std::to_string(status.st_mtim.tv_sec + 1) + "\nb||1 c||1\n");
}

TEST_CASE("a file that cannot be used leaves the list before it in force") {
  Followed followed;
  followed.file().read();  // there is none
  CHECK(followed.told() == "");
  followed.write("12\na||1\n");
  followed.file().read();
  const std::string most = "13\n" + std::string(ClusterFile::kMaxBytes - 9, '#');
  for (const std::string& text :
       {std::string(), std::string("13\n"), std::string("13\nb||1"), std::string("13\nb||1 c|"),
        std::string("13\nb|x|1\n"), most + "\n\nb||1\n"}) {
    INFO(text.substr(0, 40));
    followed.write(text);
    followed.file().read();
    CHECK(followed.told() == "12\na||1\n");
  }
  std::filesystem::remove(followed.path());
  followed.file().read();
  CHECK(followed.told() == "12\na||1\n");
  std::filesystem::create_directory(followed.path());
  followed.file().read();
  CHECK(followed.told() == "12\na||1\n");
  std::filesystem::remove(followed.path());
  REQUIRE(mkfifo(followed.path().c_str(), 0600) == 0);
  followed.file().read();
  CHECK(followed.told() == "12\na||1\n");
  std::filesystem::remove(followed.path());
  followed.write(most + "\nb||1\n");
  followed.file().read();
  CHECK(followed.told() == "13\nb||1\n");
}

TEST_CASE("a file is followed when it is written, replaced, removed and comes back") {
  Followed followed;
  followed.follow();
  CHECK(followed.told() == "");
  followed.write("1\na||1\n");
  CHECK(followed.comes_to("1\na||1\n"));
  followed.write("2\nb||1\n");
  CHECK(followed.comes_to("2\nb||1\n"));
  followed.replace("3\nc||1\n");
  CHECK(followed.comes_to("3\nc||1\n"));
  followed.write("nonsense\n");
  followed.replace("d||1");
  for (int i = 0; i < 5; ++i) followed.pass();
  CHECK(followed.told() == "3\nc||1\n");
  std::filesystem::remove(followed.path());
  for (int i = 0; i < 5; ++i) followed.pass();
  CHECK(followed.told() == "3\nc||1\n");
  followed.replace("4\nd||1\n");
  CHECK(followed.comes_to("4\nd||1\n"));
  followed.write("4\ne||1\n");
  CHECK(followed.comes_to("5\ne||1\n"));
}

TEST_CASE("a change is seen at once, not with the next look") {
  Followed followed;
  followed.follow();
  const auto begun = std::chrono::steady_clock::now();
  for (int i = 1; i <= 10; ++i) {
    const std::string text = std::to_string(i) + "\na||1\n";
    i % 2 == 0 ? followed.write(text) : followed.replace(text);
    CHECK(followed.comes_to(text));
  }
  CHECK(std::chrono::steady_clock::now() - begun <
        std::chrono::seconds(10 * ClusterFile::kLookSeconds) / 2);
}

TEST_CASE("a link is followed, as Kubernetes changes it") {
  Followed followed;
  namespace fs = std::filesystem;
  for (const char* name : {"one", "two"}) fs::create_directory(followed.beside(name));
  write_file(followed.beside("one/nodes"), "1\na||1\n");
  write_file(followed.beside("two/nodes"), "2\nb||1\n");
  fs::create_directory_symlink("one", followed.beside("..data"));
  fs::create_symlink("..data/nodes", followed.path());
  followed.follow();
  CHECK(followed.told() == "1\na||1\n");
  fs::create_directory_symlink("two", followed.beside("..next"));
  fs::rename(followed.beside("..next"), followed.beside("..data"));
  CHECK(followed.comes_to("2\nb||1\n"));
}

TEST_CASE("a folder may come later, and be replaced") {
  Followed followed("folder/nodes");
  namespace fs = std::filesystem;
  followed.follow();
  fs::create_directory(followed.beside("folder"));
  followed.write("1\na||1\n");
  CHECK(followed.comes_to("1\na||1\n"));
  fs::create_directory(followed.beside("next"));
  write_file(followed.beside("next/nodes"), "2\nb||1\n");
  fs::rename(followed.beside("folder"), followed.beside("old"));
  fs::rename(followed.beside("next"), followed.beside("folder"));
  CHECK(followed.comes_to("2\nb||1\n"));
  followed.write("3\nc||1\n");
  CHECK(followed.comes_to("3\nc||1\n"));
}

}  // namespace
}  // namespace larder::daemon
