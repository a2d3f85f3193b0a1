#include "daemon/credentials.h"

#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <string>

#include "tests/support/temp_folder.h"

namespace larder::daemon {
namespace {

using Form = Credentials::Form;

Credentials auth_file(std::string_view text) { return Credentials::parse(text, Form::AuthFile); }

std::string complaint(std::string_view text) {
  try {
    auth_file(text);
  } catch (const CredentialsError& error) {
    return error.what();
  }
  return "";
}

std::string complaint_of_file(const std::string& path) {
  try {
    Credentials::read(path, Form::AuthFile);
  } catch (const CredentialsError& error) {
    return error.what();
  }
  return "";
}

TEST_CASE("a user comes in with its password and with nothing else") {
  const Credentials users = auth_file("foo:bar\nbaaaz:quux\n");
  CHECK(users.size() == 2);
  CHECK(users.allow("foo", "bar"));
  CHECK(users.allow("baaaz", "quux"));
  CHECK_FALSE(users.allow("foo", "quux"));
  CHECK_FALSE(users.allow("baaaz", "bar"));
  CHECK_FALSE(users.allow("foo", "ba"));
  CHECK_FALSE(users.allow("foo", "barr"));
  CHECK_FALSE(users.allow("foo", "bar\n"));
  CHECK_FALSE(users.allow("foo", ""));
  CHECK_FALSE(users.allow("fo", "obar"));  // the same bytes, cut elsewhere
  CHECK_FALSE(users.allow("foob", "ar"));
  CHECK_FALSE(users.allow("", ""));
  CHECK_FALSE(users.allow("foo", std::string("bar\0", 4)));
  CHECK_FALSE(users.allow("Foo", "bar"));
}

TEST_CASE("what is longer than any entry is refused") {
  const Credentials users = auth_file("foo:bar");
  for (const size_t bytes : {4u, 100u, 1024u, 1025u, 5000u, 100'000u}) {
    CHECK_FALSE(users.allow("foo", std::string(bytes, 'b')));
    CHECK_FALSE(users.allow(std::string(bytes, 'f'), "bar"));
  }
}

TEST_CASE("every difference counts, whatever its place") {
  const std::string user = "somebody";
  const std::string password = "a password of some length, longer than a few words are";
  const Credentials users = auth_file("x:y\n" + user + ":" + password + "\nz:" + password);
  CHECK(users.allow(user, password));
  for (size_t i = 0; i < password.size(); ++i) {
    for (const int bit : {1, 0x80}) {
      std::string wrong = password;
      wrong[i] = static_cast<char>(wrong[i] ^ bit);
      CHECK_FALSE(users.allow(user, wrong));
    }
  }
}

TEST_CASE("there may be many users, and a user may have several passwords") {
  std::string text;
  for (int i = 0; i < 1000; ++i) {
    text += "user" + std::to_string(i) + ":word" + std::to_string(i) + "\n";
  }
  const Credentials users = auth_file(text + "user7:another\n");
  CHECK(users.size() == 1001);
  for (int i = 0; i < 1000; ++i) {
    REQUIRE(users.allow("user" + std::to_string(i), "word" + std::to_string(i)));
    REQUIRE_FALSE(users.allow("user" + std::to_string(i), "word" + std::to_string(i + 1)));
  }
  CHECK(users.allow("user7", "another"));
}

TEST_CASE("lines end as editors end them, the last one perhaps not at all") {
  CHECK(auth_file("foo:bar").allow("foo", "bar"));
  CHECK(auth_file("foo:bar\r\nx:y\r\n").allow("foo", "bar"));
  CHECK(auth_file("foo:bar\r\nx:y\r\n").allow("x", "y"));
  CHECK(auth_file("foo:b a:r\n").allow("foo", "b a:r"));  // the first colon ends the user
  CHECK(auth_file(":bar\n").allow("", "bar"));
  CHECK(auth_file("foo:\n").allow("foo", ""));
}

TEST_CASE("a line that is no entry is named by its number and not shown") {
  CHECK(complaint("foo:bar\nsecret\n") == "line 2 is not user:password (of up to 1024 bytes)");
  CHECK(complaint("foo:bar\n\n").starts_with("line 2 is not"));
  CHECK(complaint("\nfoo:bar\n").starts_with("line 1 is not"));
  CHECK(complaint(std::string("foo:b\0r\n", 8)).starts_with("line 1 is not"));
  CHECK(complaint("") == "there is no user:password in it");
  CHECK(complaint("u:" + std::string(1023, 'p')).empty());
  CHECK(auth_file("u:" + std::string(1023, 'p')).allow("u", std::string(1023, 'p')));
  CHECK(complaint("u:" + std::string(1024, 'p')).starts_with("line 1 is not"));
}

TEST_CASE("a password base skips what is no entry, and a colon may end a password") {
  const Credentials users =
      Credentials::parse("nonsense\n\nbob@host:pw:rest:more\nann@host:x\n", Form::PasswordBase);
  CHECK(users.allow("bob@host", "pw"));
  CHECK(users.allow("bob@host", "pw:rest"));
  CHECK(users.allow("bob@host", "pw:rest:more"));
  CHECK(users.allow("ann@host", "x"));
  CHECK_FALSE(users.allow("bob@host", "p"));
  CHECK_FALSE(users.allow("bob@host", "pw:"));
  CHECK_FALSE(users.allow("nonsense", ""));
  CHECK_FALSE(Credentials::parse("", Form::PasswordBase).allow("", ""));
}

TEST_CASE("a file that cannot be used is named, with the reason") {
  const test::TempFolder folder;
  CHECK(complaint_of_file(folder.file("none")) ==
        "cannot read '" + folder.file("none") + "': No such file or directory");
  CHECK(complaint_of_file(folder.file("")) == "'" + folder.file("") + "' is not a regular file");
  CHECK(complaint_of_file("/dev/zero") == "'/dev/zero' is not a regular file");
  const std::string fifo = folder.file("fifo");
  REQUIRE(mkfifo(fifo.c_str(), 0600) == 0);
  CHECK(complaint_of_file(fifo) == "'" + fifo + "' is not a regular file");  // and nobody waits

  const std::string path = folder.file("users");
  std::ofstream(path) << "no colon\n";
  CHECK(complaint_of_file(path).starts_with("cannot use '" + path + "': line 1 is not"));
  std::ofstream(path) << std::string(kMaxCredentialFileBytes + 1, 'x');
  CHECK(complaint_of_file(path) == "'" + path + "' is larger than 1 MiB");
  std::ofstream(path) << "foo:bar\n";
  CHECK(Credentials::read(path, Form::AuthFile).allow("foo", "bar"));
}

}  // namespace
}  // namespace larder::daemon
