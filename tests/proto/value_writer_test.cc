#include "proto/value_writer.h"

#include <catch2/catch.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "tests/proto/written.h"

using namespace larder::proto;

namespace {

void write(const Reply& reply, std::string_view trailer, ReplyBuffer& out) {
  char* p = out.reserve(1 + value_room(reply, trailer));
  *p = '>';
  finish_with_value(p + 1, reply, trailer, out);
}

}  // namespace

TEST_CASE("a value up to the limit is copied, a longer one referred to with its owner") {
  const int owner = 0;
  for (const size_t bytes : {size_t{0}, size_t{1}, kCopyLimitBytes, kCopyLimitBytes + 1}) {
    const std::string value(bytes, 'v');
    Reply reply;
    reply.value = value;
    reply.owner = &owner;
    ReplyBuffer out;
    write(reply, "\r\n", out);
    CHECK(larder::test::joined(out) == ">" + value + "\r\n");
    if (bytes <= kCopyLimitBytes) {
      CHECK(out.pieces().size() == 1);
    } else {
      REQUIRE(out.pieces().size() == 3);
      CHECK(out.pieces()[1].data == value.data());
      CHECK(out.pieces()[1].owner == &owner);
    }
  }
}

TEST_CASE("a value in parts is sent part by part, or copied where all of it is short") {
  for (const size_t each : {size_t{10}, size_t{5000}}) {
    const std::string a(each, 'a');
    const std::string b(each, 'b');
    const std::vector<std::string_view> parts{a, b};
    Reply reply;
    reply.value_parts = parts;
    reply.value_bytes = static_cast<uint32_t>(2 * each);
    ReplyBuffer out;
    write(reply, "", out);
    CHECK(value_bytes(reply) == 2 * each);
    CHECK(larder::test::joined(out) == ">" + a + b);
    CHECK(out.pieces().size() == (each == 10 ? 1 : 3));
  }
}
