#include "tools/client/get_line.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "tests/proto/written.h"

using larder::client::GetLine;
using larder::test::joined;

TEST_CASE("a line takes keys until it is as long as servers of all ages take") {
  GetLine line;
  std::vector<std::string> keys;
  for (int i = 0; i < 100; ++i) keys.push_back(std::to_string(i) + std::string(98, 'k'));
  size_t taken = 0;
  while (line.add(keys[taken])) ++taken;
  larder::proto::ReplyBuffer out;
  line.write(out);
  const std::string written = joined(out);
  CHECK(written.size() < 2048);
  CHECK(written.size() > 1700);
  CHECK(written.starts_with("gets " + keys[0] + " " + keys[1] + " "));
  CHECK(written.ends_with(" " + keys[taken - 1] + "\r\n"));

  // Then it is as new.
  CHECK(line.add(keys[0]));
  out.clear();
  line.write(out);
  CHECK(joined(out) == "gets " + keys[0] + "\r\n");
}

TEST_CASE("a line takes no key twice, and hardly ever refuses another for one") {
  GetLine line;
  larder::proto::ReplyBuffer out;
  int cut = 0;
  for (int i = 0; i < 1000; ++i) {
    std::vector<std::string> keys;
    for (int k = 0; k < 50; ++k) keys.push_back("key:" + std::to_string(50 * i + k));
    bool whole = true;
    for (const std::string& key : keys) whole = whole && line.add(key);
    if (whole) CHECK_FALSE(line.add(keys[static_cast<size_t>(i % 50)]));
    cut += !whole;
    out.clear();
    line.write(out);
  }
  CHECK(cut < 250);
}
