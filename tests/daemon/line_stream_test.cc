#include "daemon/line_stream.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

namespace larder::daemon {
namespace {

struct Reader {
  bool take(std::string_view part) {
    return stream.take(part, [this](std::string_view line) {
      lines.emplace_back(line);
      return line != "end";
    });
  }

  LineStream stream;
  std::vector<std::string> lines;
};

TEST_CASE("lines are the same however the stream is cut") {
  const std::string text = "one\ntwo and more\n3\nrest";
  for (size_t first = 0; first <= text.size(); ++first) {
    for (size_t second = first; second <= text.size(); ++second) {
      Reader reader;
      REQUIRE(reader.take(text.substr(0, first)));
      REQUIRE(reader.take(text.substr(first, second - first)));
      REQUIRE(reader.take(text.substr(second)));
      CHECK(reader.lines == std::vector<std::string>{"one", "two and more", "3"});
      CHECK(reader.stream.kept_bytes() == 4);
    }
  }
}

TEST_CASE("a stream ends where its reader says so") {
  Reader reader;
  CHECK_FALSE(reader.take("one\nend\ntwo\n"));
  CHECK(reader.lines == std::vector<std::string>{"one", "end"});
}

TEST_CASE("an empty line ends the stream: two million of them cost one look") {
  Reader reader;
  CHECK_FALSE(reader.take(std::string(2'000'000, '\n')));
  CHECK(reader.lines.empty());
  Reader after_one;
  CHECK_FALSE(after_one.take("one\n\ntwo\n"));
  CHECK(after_one.lines == std::vector<std::string>{"one"});
}

TEST_CASE("of one part no more than kMaxLinesPerPart lines are taken") {
  std::string most;
  for (size_t i = 0; i < LineStream::kMaxLinesPerPart; ++i) most += "x\n";
  Reader reader;
  CHECK(reader.take(most));
  CHECK(reader.take(most));  // another part has its own
  CHECK(reader.lines.size() == 2 * LineStream::kMaxLinesPerPart);
  CHECK_FALSE(reader.take(most + "x\n" + most));
  CHECK(reader.lines.size() == 3 * LineStream::kMaxLinesPerPart);
}

TEST_CASE("a line has at most kMaxLineBytes, in one part or in many, and no more is kept") {
  const std::string longest(LineStream::kMaxLineBytes, 'x');
  Reader whole;
  CHECK(whole.take(longest + "\n"));
  CHECK(whole.lines == std::vector<std::string>{longest});
  CHECK_FALSE(whole.take(longest + "x\n"));
  CHECK(whole.lines.size() == 1);

  Reader cut;
  CHECK(cut.take(longest));
  CHECK_FALSE(cut.take("x"));
  CHECK(cut.stream.kept_bytes() == LineStream::kMaxLineBytes);
  CHECK(cut.take("\nshort\n"));
  CHECK(cut.lines == std::vector<std::string>{longest, "short"});
}

TEST_CASE("a cleared stream has forgotten the line that had begun") {
  Reader reader;
  REQUIRE(reader.take("half a li"));
  reader.stream.clear();
  REQUIRE(reader.take("ne\n"));
  CHECK(reader.lines == std::vector<std::string>{"ne"});
}

}  // namespace
}  // namespace larder::daemon
