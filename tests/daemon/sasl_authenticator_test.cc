#include "daemon/sasl_authenticator.h"

#include <catch2/catch.hpp>
#include <semaphore>
#include <string>

#include "tests/proto/binary_request.h"
#include "tests/proto/written.h"
#include "tests/support/sasl_setup.h"

namespace larder::daemon {
namespace {

using test::BinaryRequest;
using test::SaslSetup;
using Verdict = Authenticator::Verdict;

constexpr uint8_t kGet = 0x00;
constexpr uint8_t kNoop = 0x0a;
constexpr uint8_t kVersion = 0x0b;
constexpr uint8_t kList = 0x20;
constexpr uint8_t kStart = 0x21;
constexpr uint8_t kStep = 0x22;

std::string request(uint8_t opcode, const std::string& key = "", const std::string& value = "") {
  return BinaryRequest{.opcode = opcode, .key = key, .value = value}.bytes();
}
std::string plain(const std::string& password) {
  return request(kStart, "PLAIN", SaslSetup::plain("foo", password));
}
std::string reply(uint8_t opcode, uint16_t status, const std::string& body) {
  return "\x81" + test::big_endian(opcode, 1) + test::big_endian(0, 4) +
         test::big_endian(status, 2) + test::big_endian(body.size(), 4) + "\x01\x02\x03\x04" +
         std::string(8, '\0') + body;
}
std::string failure(uint8_t opcode) { return reply(opcode, 0x20, "Auth failure."); }
std::string invalid(uint8_t opcode) { return reply(opcode, 0x04, "Invalid arguments"); }
const std::string kIn = reply(kStart, 0, "Authenticated");

struct Got {
  Verdict verdict;
  std::string left;
  std::string replies;
};

class Door {
 public:
  explicit Door(bool admitted = false)
      : authenticator_(clerk_, stats_, admitted, [this] { answers_.release(); }) {}

  // Waits for answers as often as it takes.
  Got hears(std::string_view input) {
    proto::ReplyBuffer out;
    size_t used = 0;
    for (;;) {
      const auto progress = authenticator_.take(input.substr(used), out);
      used += progress.used;
      if (progress.verdict != Verdict::Wait) {
        return {progress.verdict, std::string(input.substr(used)), test::joined(out)};
      }
      answers_.acquire();
    }
  }
  // Answers, and closes.
  bool shows_out(const std::string& input, const std::string& with) {
    const Got got = hears(input);
    return got.verdict == Verdict::Close && got.replies == with;
  }

  uint64_t commands() const { return stats_.auth_cmds.get(); }
  uint64_t errors() const { return stats_.auth_errors.get(); }

 private:
  const SaslSetup setup_;
  const Sasl sasl_;
  SaslClerk clerk_{sasl_};
  WorkerStats stats_;
  std::counting_semaphore<> answers_{0};
  SaslAuthenticator authenticator_;
};

TEST_CASE("a good password lets in, and what follows is for the request loop") {
  Door door;
  const Got got = door.hears(plain("bar") + request(kNoop));
  CHECK(got.verdict == Verdict::Admitted);
  CHECK(got.replies == kIn);
  CHECK(got.left == request(kNoop));
  CHECK(door.commands() == 1);
  CHECK(door.errors() == 0);
}

TEST_CASE("a bad password may be followed by a better one") {
  Door door;
  const Got got = door.hears(plain("baz") + plain("bar"));
  CHECK(got.verdict == Verdict::Admitted);
  CHECK(got.replies == failure(kStart) + kIn);
  CHECK(door.commands() == 2);
  CHECK(door.errors() == 1);
}

TEST_CASE("mechanisms and the version are for everybody") {
  Door door;
  const Got got = door.hears(request(kList) + request(kVersion));
  CHECK(got.verdict == Verdict::NeedMore);
  CHECK(got.replies.find("PLAIN") != std::string::npos);
  CHECK(got.replies.ends_with(reply(kVersion, 0, "1.6.45")));
  CHECK(door.commands() == 0);
}

TEST_CASE("anything else is a failure and the end, also if it is quiet or unknown") {
  for (const uint8_t opcode : {kGet, uint8_t{0x01}, kNoop, uint8_t{0x07}, uint8_t{0x09},
                               uint8_t{0x17}, uint8_t{0x30}, uint8_t{0xff}}) {
    CHECK(Door().shows_out(request(opcode), failure(opcode)));
    CHECK(Door().shows_out(request(opcode, "key", "value"), failure(opcode)));
    // Only the header has come.
    CHECK(Door().shows_out(request(opcode, "key", "value").substr(0, 24), failure(opcode)));
  }
}

TEST_CASE("exchanges go on in steps, and a step needs a beginning") {
  Door door;
  CHECK(door.hears(request(kStep, "PLAIN", "x")).replies == failure(kStep));
  CHECK(door.hears(request(kStart, "PLAIN")).replies == reply(kStart, 0x21, ""));
  CHECK(door.commands() == 1);  // what goes on is not counted
  const Got got = door.hears(request(kStep, "PLAIN", SaslSetup::plain("foo", "bar")));
  CHECK(got.replies == reply(kStep, 0, "Authenticated"));
  CHECK(got.verdict == Verdict::Admitted);
  CHECK(door.commands() == 2);
  CHECK(door.errors() == 1);
  CHECK(Door().hears(request(kStart, "NOPE", "x")).replies == failure(kStart));
  CHECK(Door().hears(request(kStart, "CRAM-MD5", "x")).replies == failure(kStart));
}

TEST_CASE("bad shapes are invalid arguments and the end, nonsense is unknown") {
  CHECK(Door().shows_out(request(kList, "k"), invalid(kList)));
  CHECK(Door().shows_out(request(kVersion, "k"), invalid(kVersion)));
  CHECK(Door().shows_out(request(kStart, "", "x"), invalid(kStart)));
  CHECK(Door().shows_out(request(kStart, std::string(251, 'X')), invalid(kStart)));
  CHECK(Door().shows_out(
      BinaryRequest{.opcode = kStart, .key = "PLAIN", .extras = "1234", .value = "x"}.bytes(),
      invalid(kStart)));
  CHECK(Door().shows_out(
      BinaryRequest{.opcode = kStart, .key = "PLAIN", .body_bytes = (1u << 30) + 1}.bytes(),
      invalid(kStart)));
  for (const uint8_t opcode : {kStart, kGet}) {
    CHECK(Door().shows_out(BinaryRequest{.opcode = opcode, .key = "PLAIN", .body_bytes = 2}.bytes(),
                           reply(opcode, 0x81, "Unknown command")));
  }
  CHECK(Door().shows_out("version\r\n", ""));
  CHECK(Door().shows_out("\x81", ""));
}

TEST_CASE("what is too long is refused and skipped") {
  Door door;
  const std::string version = reply(kVersion, 0, "1.6.45");
  CHECK(door.hears(request(kStart, std::string(33, 'X'), "yy") + request(kVersion)).replies ==
        invalid(kStart) + version);
  CHECK(door.hears(request(kStart, std::string(32, 'X'), "yy")).replies == failure(kStart));
  const std::string refused = reply(kStart, 0x82, "Out of memory");
  CHECK(door.hears(request(kStart, "PLAIN", std::string(16384, 'y'))).replies == failure(kStart));
  CHECK(door.hears(request(kStart, "PLAIN", std::string(16385, 'y')) + request(kVersion)).replies ==
        refused + version);
  // A body that never ends costs nothing.
  CHECK(door.hears(BinaryRequest{.opcode = kStart, .key = "PLAIN", .body_bytes = 1u << 30}.bytes())
            .replies == refused);
  for (int i = 0; i < 100; ++i) {
    const Got got = door.hears(std::string(1000, 'x'));
    CHECK(got.left.empty());
    CHECK(got.replies.empty());
  }
}

TEST_CASE("half an exchange waits for the rest, at every point") {
  const std::string whole = plain("bar");
  Door door;
  for (size_t split = 0; split < whole.size(); ++split) {
    const Got half = door.hears(whole.substr(0, split));
    INFO(split);
    REQUIRE(half.verdict == Verdict::NeedMore);
    REQUIRE(half.left == whole.substr(0, split));
    REQUIRE(half.replies.empty());
  }
  CHECK(door.hears(whole).verdict == Verdict::Admitted);
}

TEST_CASE("an admitted client may list and stays in; an attempt puts it outside") {
  {
    Door door(true);
    const Got got = door.hears(request(kList) + request(kGet, "k"));
    CHECK(got.verdict == Verdict::Admitted);
    CHECK(got.left == request(kGet, "k"));
  }
  Door door(true);
  CHECK(door.hears(plain("baz")).verdict == Verdict::NeedMore);
  CHECK(door.hears(request(kList)).verdict == Verdict::NeedMore);
  CHECK(door.hears(plain("bar")).verdict == Verdict::Admitted);
}

TEST_CASE("no more than so many requests of a stranger are answered at once") {
  Door door;
  std::string input;
  for (int i = 0; i < 100; ++i) input += request(kVersion);
  const Got got = door.hears(input);
  CHECK(got.verdict == Verdict::GoOn);
  CHECK(got.left.size() == (100 - kAuthRequestsPerPass) * request(kVersion).size());
}

}  // namespace
}  // namespace larder::daemon
