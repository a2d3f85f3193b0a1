#include "proto/reply_buffer.h"

#include <catch2/catch.hpp>
#include <random>
#include <string>
#include <vector>

using namespace larder::proto;

namespace {

std::string joined(ReplyBuffer& buffer) {
  std::string all;
  for (const ReplyBuffer::Piece& piece : buffer.pieces()) {
    CHECK(piece.bytes > 0);
    all.append(piece.data, piece.bytes);
  }
  CHECK(all.size() == buffer.total_bytes());
  return all;
}

}  // namespace

TEST_CASE("an empty buffer has no pieces") {
  ReplyBuffer buffer;
  CHECK(buffer.empty());
  CHECK(buffer.pieces().empty());
  buffer.copy("");
  buffer.refer("", nullptr);
  CHECK(buffer.empty());
  buffer.clear();
  CHECK(buffer.pieces().empty());
}

TEST_CASE("scratch is one piece up to a reference and one behind it") {
  ReplyBuffer buffer;
  const std::string value(5000, 'v');
  const int owner = 0;
  buffer.copy("VALUE a 0 1\r\nx\r\n");
  buffer.copy("VALUE k 0 5000\r\n");
  buffer.refer(value, &owner);
  buffer.copy("\r\n");
  buffer.copy("END\r\n");
  const std::vector<ReplyBuffer::Piece>& pieces = buffer.pieces();
  REQUIRE(pieces.size() == 3);
  CHECK(pieces[0].owner == nullptr);
  CHECK(pieces[1].data == value.data());
  CHECK(pieces[1].owner == &owner);
  CHECK(std::string(pieces[2].data, pieces[2].bytes) == "\r\nEND\r\n");
  CHECK(joined(buffer) == "VALUE a 0 1\r\nx\r\nVALUE k 0 5000\r\n" + value + "\r\nEND\r\n");
}

TEST_CASE("references side by side stay apart, and first and last ones have no scratch") {
  ReplyBuffer buffer;
  const std::string a = "aaa";
  const std::string b = "bb";
  buffer.refer(a, &a);
  buffer.refer(b, &b);
  CHECK(buffer.pieces().size() == 2);
  CHECK(joined(buffer) == "aaabb");
}

TEST_CASE("what is reserved is taken only as far as it is committed") {
  ReplyBuffer buffer;
  char* p = buffer.reserve(100);
  p[0] = 'x';
  buffer.commit(1);
  p = buffer.reserve(3);
  p[0] = 'y';
  p[1] = 'z';
  buffer.commit_to(p + 2);
  CHECK(joined(buffer) == "xyz");
}

TEST_CASE("rewinding takes back scratch and references") {
  ReplyBuffer buffer;
  const std::string value(2000, 'v');
  buffer.copy("kept");
  buffer.refer(value, nullptr);
  const ReplyBuffer::Mark mark = buffer.mark();
  buffer.copy("gone");
  buffer.refer(value, nullptr);
  buffer.copy("gone");
  buffer.rewind(mark);
  CHECK(joined(buffer) == "kept" + value);
  buffer.rewind(ReplyBuffer::Mark{});
  CHECK(buffer.empty());
}

TEST_CASE("random writing, rewinding and clearing agree with a plain string") {
  std::mt19937 random(7);
  const std::string source(70000, 's');
  ReplyBuffer buffer;
  std::string model;
  std::vector<std::pair<ReplyBuffer::Mark, size_t>> marks{{ReplyBuffer::Mark{}, 0}};
  for (int i = 0; i < 20000; ++i) {
    switch (random() % 8) {
      case 0: {
        const size_t bytes = random() % (i % 50 == 0 ? source.size() : 300);
        buffer.refer({source.data(), bytes}, &source);
        model.append(bytes, 's');
        break;
      }
      case 1:
        marks.emplace_back(buffer.mark(), model.size());
        break;
      case 2:
        if (random() % 4 != 0) break;
        buffer.rewind(marks.back().first);
        model.resize(marks.back().second);
        if (marks.size() > 1) marks.pop_back();
        break;
      case 3:
        if (random() % 100 != 0) break;
        buffer.clear();
        model.clear();
        marks.resize(1);
        break;
      default: {
        const std::string text(random() % (i % 97 == 0 ? 40000 : 60),
                               static_cast<char>('a' + i % 26));
        buffer.copy(text);
        model += text;
      }
    }
    CHECK(buffer.total_bytes() == model.size());
    if (i % 500 == 0) CHECK(joined(buffer) == model);
  }
}
