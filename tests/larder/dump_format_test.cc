#include "tools/larder/dump_format.h"

#include <catch2/catch.hpp>
#include <memory>
#include <vector>

using namespace larder::operate;

namespace {

struct Close {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, Close>;

File file_of(const std::string& text) {
  File file(std::tmpfile());
  REQUIRE(file);
  REQUIRE(std::fwrite(text.data(), 1, text.size(), file.get()) == text.size());
  std::rewind(file.get());
  return file;
}

std::string text_of(std::FILE* file) {
  std::rewind(file);
  std::string text;
  for (int c = std::fgetc(file); c != EOF; c = std::fgetc(file)) text += static_cast<char>(c);
  return text;
}

struct Read {
  std::vector<DumpItem> items;
  std::string error;
};

Read read(const std::string& text) {
  const File file = file_of(text);
  DumpReader reader(file.get());
  Read all;
  while (std::optional<DumpItem> item = reader.next()) all.items.push_back(std::move(*item));
  all.error = reader.error();
  CHECK_FALSE(reader.next());
  return all;
}

std::string written(const std::vector<DumpItem>& items) {
  const File file = file_of("");
  DumpWriter writer(file.get());
  for (const DumpItem& item : items) writer.write(item);
  writer.end();
  CHECK(writer.items() == items.size());
  return text_of(file.get());
}

std::vector<DumpItem> some_items() {
  std::string every_byte;
  for (int byte = 0; byte < 256; ++byte) every_byte += static_cast<char>(byte);
  return {{"a", "", 0, 0},
          {every_byte.substr(0, 250), every_byte, UINT32_MAX, 1'800'000'000},
          {"item 1 1 0 0\n", "end 3\n", 5, INT64_MAX}};
}

}  // namespace

TEST_CASE("a dump is the text that its description says") {
  CHECK(written({{"k 1", "v\n", 7, 1'800'000'000}, {"x", "", 0, -1}}) ==
        "larder-dump 1\nitem 3 2 7 1800000000\nk 1v\n\nitem 1 0 0 0\nx\nend 2\n");
  CHECK(written({}) == "larder-dump 1\nend 0\n");
}

TEST_CASE("what was written is read, whatever the bytes") {
  const std::vector<DumpItem> items = some_items();
  const Read all = read(written(items));
  CHECK(all.error == "");
  REQUIRE(all.items.size() == items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    CHECK(all.items[i].key == items[i].key);
    CHECK(all.items[i].value == items[i].value);
    CHECK(all.items[i].client_flags == items[i].client_flags);
    CHECK(all.items[i].expires == items[i].expires);
  }
}

TEST_CASE("a dump that was cut short anywhere says so, and what came before is good") {
  const std::string text = written(some_items());
  for (size_t length = 0; length < text.size(); ++length) {
    const Read part = read(text.substr(0, length));
    CAPTURE(length);
    CHECK_FALSE(part.error.empty());
    CHECK(part.items.size() <= 3);
    if (!part.items.empty()) CHECK(part.items[0].key == "a");
  }
}

TEST_CASE("a file that is no dump is refused with what is wrong with it") {
  for (const auto& [text, error] :
       {std::pair{"", "is no file of larder dump"},
        {"add a 0 0 1\r\nx\r\n", "is no file of larder dump"},
        {"larder-dump 2\nend 0\n", "is of another version of larder dump"},
        {"larder-dump 1\n", "is cut short behind item 0"},
        {"larder-dump 1\nend 1\n", "has not as many items as its last line says"},
        {"larder-dump 1\nend 0\nx", "goes on behind its last line"},
        {"larder-dump 1\nend\n", "has no item behind item 0"},
        {"larder-dump 1\nitem 1 1 0\naa\n", "has no item behind item 0"},
        {"larder-dump 1\nitem 1 -1 0 0\na\n", "has no item behind item 0"},
        {"larder-dump 1\nitem 0 1 0 0\na\n", "has an item that no server would take behind item 0"},
        {"larder-dump 1\nitem 251 1 0 0\n", "has an item that no server would take behind item 0"},
        {"larder-dump 1\nitem 1 9999999999 0 0\na\n",
         "has an item that no server would take behind item 0"},
        {"larder-dump 1\nitem 1 1 4294967296 0\nab\n",
         "has an item that no server would take behind item 0"},
        {"larder-dump 1\nitem 1 1073741824 0 0\nab\n", "is cut short behind item 0"},
        {"larder-dump 1\nitem 1 1 0 0\nabc\n",
         "has an item of another length than it says behind item 0"}}) {
    CAPTURE(text);
    const Read all = read(text);
    CHECK(all.items.empty());
    CHECK(all.error == error);
  }
  CHECK(read("larder-dump 1\n" + std::string(1000, 'x')).error == "is cut short behind item 0");
}
