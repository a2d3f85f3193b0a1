// The first program of tools/client/README.md: it is what stands there, and it runs.
#include <catch2/catch.hpp>
#include <fstream>
#include <sstream>
#include <string>

#include "tests/support/source_file.h"
#include "tests/support/temp_server.h"

int first_program(int argc, char** argv);  // its main, see CMakeLists.txt

namespace {

std::string text_of(const std::string& file) {
  std::ifstream stream(larder::test::source_file(file));
  std::stringstream text;
  text << stream.rdbuf();
  return text.str();
}

}  // namespace

TEST_CASE("the first program of the manual compiles and runs") {
  const std::string program = text_of("tests/library/first_program.cc");
  REQUIRE(program.size() > 100);
  CHECK(text_of("tools/client/README.md").find("```cpp\n" + program + "```\n") !=
        std::string::npos);

  larder::test::TempServer server;
  std::string name = "first";
  std::string port = std::to_string(server.port());
  char* arguments[] = {name.data(), port.data(), nullptr};
  CHECK(first_program(2, arguments) == 0);
  larder::test::WireClient client = server.connect();
  CHECK(client.answers("get user:42\r\n", "VALUE user:42 0 3\r\nAda\r\nEND\r\n"));
  CHECK(client.answers("get page:/\r\n", "VALUE page:/ 0 14\r\n<h1>Hello</h1>\r\nEND\r\n"));
  CHECK(first_program(1, arguments) == 1);
}
