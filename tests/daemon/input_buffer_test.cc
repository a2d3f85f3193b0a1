#include "daemon/input_buffer.h"

#include <catch2/catch.hpp>
#include <string>

#include "tests/support/mapping.h"

using larder::daemon::InputBuffer;

namespace {

std::string text_of(InputBuffer& buffer) { return {buffer.bytes().data(), buffer.bytes().size()}; }

}  // namespace

TEST_CASE("an empty input buffer owns no memory") {
  InputBuffer buffer;
  CHECK(buffer.empty());
  CHECK(buffer.capacity() == 0);
  buffer.keep("get a");
  CHECK(buffer.capacity() == 5);
  buffer.drop_front(5);
  CHECK(buffer.empty());
  CHECK(buffer.capacity() == 0);
}

TEST_CASE("what is kept can be used up in pieces") {
  InputBuffer buffer;
  buffer.keep("get a\r\nget b");
  buffer.drop_front(7);
  CHECK(text_of(buffer) == "get b");
  buffer.drop_front(0);
  CHECK(text_of(buffer) == "get b");
  buffer.clear();
  CHECK(buffer.empty());
}

TEST_CASE("keeping nothing keeps nothing") {
  InputBuffer buffer;
  buffer.keep("");
  CHECK(buffer.empty());
  CHECK(buffer.capacity() == 0);
}

TEST_CASE("the bytes may be changed in place") {
  InputBuffer buffer;
  buffer.keep("Zm9v");
  buffer.bytes()[0] = 'f';
  CHECK(text_of(buffer) == "fm9v");
}

TEST_CASE("what may be secret is kept where core files do not reach") {
  InputBuffer buffer;
  buffer.keep("set k 0 0 20\r\nuser pass", InputBuffer::Memory::Secret);
  CHECK(text_of(buffer) == "set k 0 0 20\r\nuser pass");
  CHECK(larder::test::flags_of_mapping(buffer.bytes().data()).find(" dd ") != std::string::npos);
  buffer.drop_front(buffer.size());
  buffer.keep("get a");
  CHECK(larder::test::flags_of_mapping(buffer.bytes().data()).find(" dd ") == std::string::npos);
}
