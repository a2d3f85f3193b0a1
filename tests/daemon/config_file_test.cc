#include "daemon/config_file.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "daemon/settings.h"

namespace larder::daemon {
namespace {

using Words = std::vector<std::string>;

Words words(const std::string& text) { return parse_config(text, "f").words; }

TEST_CASE("options, comments and directives are told apart as Debian's scripts do") {
  const ConfigFile config = parse_config(
      "# -x\n-d\nlogfile /var/log/m.log\n  -m 64  # MiB\n-u nobody#here\n-l 127.0.0.1,::1\n\n"
      "-D ':'\r\n-vv\n-h\n--daemon\n-o modern,idle_timeout=5\n-P /run/x",
      "f");
  CHECK(config.words == Words{"-m", "64", "-u", "nobody", "-l", "127.0.0.1,::1", "-D", ":", "-vv",
                              "-o", "modern,idle_timeout=5", "-P", "/run/x"});
  CHECK(config.remarks == Words{"f, line 3: 'logfile' is no option and has no effect"});
  CHECK(words("").empty());
  CHECK(words("\n \n#\n").empty());
}

TEST_CASE("quotes and backslashes work as in a shell, and nothing else does") {
  CHECK(words("-s '/a b' -Y \"c d\"") == Words{"-s", "/a b", "-Y", "c d"});
  CHECK(words("-s /a\\ b\\#c") == Words{"-s", "/a b#c"});
  CHECK(words("-s '#'\"#\" # 'x") == Words{"-s", "##"});
  CHECK(words("-s \"\\\"\\\\\\n\" ''") == Words{"-s", "\"\\\\n", ""});
  CHECK(words("-s /tmp/$(id)`id`*~") == Words{"-s", "/tmp/$(id)`id`*~"});
  CHECK(words("-s x\\") == Words{"-s", "x\\"});
}

TEST_CASE("a quotation mark that is not closed is named with its line") {
  CHECK(words("logfile it's\n-c 5 # don't\n") == Words{"-c", "5"});
  CHECK_THROWS_WITH(words("-c 5\n-D ':\n"), "f, line 2: a quotation mark is not closed");
}

}  // namespace
}  // namespace larder::daemon
