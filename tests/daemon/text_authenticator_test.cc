#include "daemon/text_authenticator.h"

#include <catch2/catch.hpp>
#include <fstream>
#include <string>

#include "daemon/authority.h"
#include "tests/proto/written.h"
#include "tests/support/temp_folder.h"

namespace larder::daemon {
namespace {

using Verdict = Authenticator::Verdict;

constexpr std::string_view kUnauthenticated = "CLIENT_ERROR unauthenticated\r\n";
constexpr std::string_view kFailure = "CLIENT_ERROR authentication failure\r\n";

struct Got {
  Verdict verdict;
  std::string left;  // of the input
  std::string replies;
};

class Door {
 public:
  Door() {
    std::ofstream(folder_.file("users")) << "foo:bar\nann:b c\n";
    Settings settings;
    settings.auth_file = folder_.file("users");
    authority_ = std::make_unique<Authority>(settings);
  }

  Got hears(std::string_view input) {
    TextAuthenticator authenticator(*authority_, stats_);
    proto::ReplyBuffer out;
    const auto progress = authenticator.take(input, out);
    return {progress.verdict, std::string(input.substr(progress.used)), test::joined(out)};
  }
  std::string answers(std::string_view input) { return hears(input).replies; }

  uint64_t commands() const { return stats_.auth_cmds.get(); }
  uint64_t errors() const { return stats_.auth_errors.get(); }

 private:
  const test::TempFolder folder_;
  WorkerStats stats_;
  std::unique_ptr<Authority> authority_;
};

TEST_CASE("a set of user and password lets in, whatever its key, flags and time") {
  for (const std::string_view line :
       {"set k 0 0 7", "set k 12 -1 7", "set k a b 7", "set   k  0   0  7", "set k 0 0 007",
        "set k 0 0 7 noreply", "set k 0 0 7 a b c"}) {
    Door door;
    const Got got = door.hears(std::string(line) + "\r\nfoo bar\r\nget a\r\n");
    INFO(line);
    CHECK(got.verdict == Verdict::Admitted);
    CHECK(got.replies == "STORED\r\n");
    CHECK(got.left == "get a\r\n");  // for the request loop
    CHECK(door.commands() == 1);
    CHECK(door.errors() == 0);
  }
  Door door;
  CHECK(door.answers("set " + std::string(300, 'k') + " 0 0 7\r\nfoo bar\r\n") == "STORED\r\n");
  CHECK(door.answers("set k 0 0 7\nann b c\r\n") == "STORED\r\n");  // the first blank divides
}

TEST_CASE("a meta set lets in, too, and answers the flags that it asks for") {
  Door door;
  const Got got = door.hears("ms k 7\r\nfoo bar\r\nmn\r\n");
  CHECK(got.verdict == Verdict::Admitted);
  CHECK(got.replies == "HD\r\n");
  CHECK(got.left == "mn\r\n");
  CHECK(door.answers("ms k 7 T0 F5 O123 k\r\nfoo bar\r\n") == "HD O123 kk\r\n");
  CHECK(door.answers("ms a2V5 7 b k\r\nfoo bar\r\n") == "HD ka2V5 b\r\n");
  CHECK(door.answers("ms k 7 q\r\nfoo bar\r\n") == "");
  CHECK(door.hears("ms k 7 q\r\nfoo bar\r\n").verdict == Verdict::Admitted);
}

TEST_CASE("whatever is not an attempt is unauthenticated") {
  Door door;
  for (const std::string_view line : {"get a",        "get aa",
                                      "version",      "stats",
                                      "mg key",       "mn foo",
                                      "add k 0 0 7",  "cas k 0 0 7 1",
                                      "set k 0 0",    "set k 0 0 x",
                                      "set k 0 0 -7", "set k 0 0 +7",
                                      "set k 0 0 7x", "set k 0 0 4294967296",
                                      " set k 0 0 7", "setx k 0 0 7",
                                      "SET k 0 0 7",  "GET / HTTP/1.0",
                                      "flush_all",    "shutdown"}) {
    INFO(line);
    const Got got = door.hears(std::string(line) + "\r\n");
    CHECK(got.replies == kUnauthenticated);
    CHECK(got.verdict == Verdict::NeedMore);
    CHECK(got.left.empty());
  }
  CHECK(door.answers(std::string(5000, 'x') + "\r\n") == kUnauthenticated);
  CHECK(door.commands() == 0);
  CHECK(door.errors() == 0);
}

TEST_CASE("each mistake has its words") {
  Door door;
  CHECK(door.answers("set k 0 0 7\r\nfoo baz\r\n") == kFailure);
  CHECK(door.answers("set k 0 0 7\r\nfou bar\r\n") == kFailure);
  CHECK(door.answers("set k 0 0 8\r\nfoo bar \r\n") == kFailure);
  CHECK(door.answers("set k 0 0 4\r\n bar\r\n") == kFailure);
  CHECK(door.answers("ms k 7\r\nfoo baz\r\n") == kFailure);
  CHECK(door.commands() == 5);
  CHECK(door.errors() == 5);
  constexpr std::string_view kFormat = "CLIENT_ERROR bad authentication token format\r\n";
  CHECK(door.answers("set k 0 0 6\r\nfoobar\r\n") == kFormat);
  CHECK(door.answers("set k 0 0 0\r\n\r\n") == kFormat);
  CHECK(door.answers("set k 0 0 16384\r\n" + std::string(16384, 'f') + "\r\n") == kFormat);
  CHECK(door.answers("set k 0 0 7\r\nfoo barxx") ==
        "CLIENT_ERROR bad command line termination\r\n");
  CHECK(door.answers("ms k 7\r\nfoo barxx") == "CLIENT_ERROR bad command line termination\r\n");
  constexpr std::string_view kTooLong = "CLIENT_ERROR auth token too long\r\n";
  CHECK(door.answers("set k 0 0 16385\r\n") == kTooLong);
  CHECK(door.answers("set k 0 0 4294967295\r\n") == kTooLong);
  CHECK(door.answers("ms k 16385\r\n") == kTooLong);
  CHECK(door.answers("ms k x\r\n") == "CLIENT_ERROR bad command line format\r\n");
  CHECK(door.answers("ms k 7 !\r\n") == "CLIENT_ERROR bad command line format\r\n");
  CHECK(door.answers("ms k 7 ME ME\r\n") == "CLIENT_ERROR duplicate flag\r\n");
  CHECK(door.commands() == 5);
}

TEST_CASE("after a mistake it may be tried again") {
  Door door;
  const Got got = door.hears("get foo\r\nset k 0 0 7\r\nfoo baz\r\nset k 0 0 7\r\nfoo bar\r\n");
  CHECK(got.replies == std::string(kUnauthenticated) + std::string(kFailure) + "STORED\r\n");
  CHECK(got.verdict == Verdict::Admitted);
}

TEST_CASE("half a request waits for the rest, at every point") {
  for (const std::string request :
       {"set key 0 0 7\r\nfoo bar\r\n", "ms a2V5 7 b k Oxy\r\nfoo bar\r\n"}) {
    for (size_t split = 0; split < request.size(); ++split) {
      Door door;
      const Got half = door.hears(request.substr(0, split));
      INFO(split);
      REQUIRE(half.verdict == Verdict::NeedMore);
      REQUIRE(half.replies.empty());
      REQUIRE(half.left == request.substr(0, split));
    }
    Door door;
    CHECK(door.hears(request).verdict == Verdict::Admitted);
  }
}

TEST_CASE("who sends lines that are none is left alone") {
  Door door;
  for (const std::string_view line : {"\r\n", "\n\n\n\n\n\n\n", "quit\r\n", "mn\r\n", "get a\n"}) {
    CHECK(door.hears(line).verdict == Verdict::Close);
  }
  CHECK(door.hears(std::string(2048, 'x')).verdict == Verdict::NeedMore);
  CHECK(door.hears(std::string(2049, 'x')).verdict == Verdict::Close);
}

TEST_CASE("no more than so many requests are answered at once") {
  Door door;
  std::string input;
  for (int i = 0; i < 100; ++i) input += "get foo\r\n";
  const Got got = door.hears(input);
  CHECK(got.verdict == Verdict::GoOn);
  CHECK(got.replies.size() == kAuthRequestsPerPass * kUnauthenticated.size());
  CHECK(got.left.size() == (100 - kAuthRequestsPerPass) * 9);
}

}  // namespace
}  // namespace larder::daemon
