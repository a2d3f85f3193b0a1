#include "daemon/authority.h"

#include <catch2/catch.hpp>
#include <fstream>
#include <string>

#include "tests/support/temp_folder.h"

namespace larder::daemon {
namespace {

class Users {
 public:
  Users() { write("foo:bar\n"); }
  void write(const std::string& text) { std::ofstream(settings_.auth_file = path()) << text; }
  std::string path() const { return folder_.file("users"); }
  const Settings& settings() const { return settings_; }

 private:
  const test::TempFolder folder_;
  Settings settings_;
};

TEST_CASE("without -Y and -S nobody is asked") {
  Authority authority{Settings{}};
  CHECK_FALSE(authority.asks());
  CHECK_FALSE(authority.uses_sasl());
  authority.reload();
  CHECK_FALSE(authority.asks());
}

TEST_CASE("with an auth file those in it are let in") {
  Users users;
  const Authority authority(users.settings());
  CHECK(authority.asks());
  CHECK_FALSE(authority.uses_sasl());
  CHECK(authority.allow("foo", "bar"));
  CHECK_FALSE(authority.allow("foo", "baz"));
}

TEST_CASE("an auth file that is read again counts from then on") {
  Users users;
  Authority authority(users.settings());
  users.write("foo:new\nann:b\n");
  CHECK(authority.allow("foo", "bar"));
  authority.reload();
  CHECK_FALSE(authority.allow("foo", "bar"));
  CHECK(authority.allow("foo", "new"));
  CHECK(authority.allow("ann", "b"));
}

TEST_CASE("an auth file that has gone bad leaves in force what was read before") {
  Users users;
  Authority authority(users.settings());
  for (const char* text : {"", "foo\n", "foo:bar2\nnonsense"}) {
    users.write(text);
    authority.reload();
    CHECK(authority.allow("foo", "bar"));
  }
  std::remove(users.path().c_str());
  authority.reload();
  CHECK(authority.allow("foo", "bar"));
}

TEST_CASE("with a bad auth file there is no start") {
  Users users;
  users.write("nonsense\n");
  try {
    Authority authority(users.settings());
    FAIL("it was taken");
  } catch (const SettingsError& error) {
    CHECK(error.exit_code == 1);
    CHECK(std::string(error.what()) == "option -Y: cannot use '" + users.path() +
                                           "': line 1 is not user:password (of up to 1024 bytes)");
  }
}

}  // namespace
}  // namespace larder::daemon
