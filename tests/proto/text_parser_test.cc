#include "proto/text_parser.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "proto/limits.h"
#include "proto/text_protocol.h"
#include "tests/proto/parse_one.h"
#include "tests/proto/player.h"

using namespace larder::proto;
using Text = larder::test::ParseOne<TextProtocol>;

namespace {

const std::string kLongest(kMaxKeyBytes, 'k');
const std::string kTooLong(kMaxKeyBytes + 1, 'k');

}  // namespace

TEST_CASE("a get line is consumed key by key") {
  Text text("get a  bb \r\n");
  REQUIRE(text.complete());
  CHECK(text.command.op == Op::Get);
  CHECK(text.command.dialect == Dialect::Classic);
  CHECK(text.command.want == Want::kValue);
  CHECK(text.command.key == "a");
  text.again();
  CHECK(text.command.op == Op::Get);
  CHECK(text.command.key == "bb");
  text.again();
  CHECK(text.command.op == Op::EndOfKeys);
  CHECK(text.offset + text.parsed.consumed == text.input.size());
}

TEST_CASE("the last key of a get line says so, where no blank comes between") {
  for (const char* line : {"get a bb\r\n", "get a bb\n", "gats 1  a   bb\r\nget c\r\n"}) {
    INFO(line);
    Text text(line);
    CHECK_FALSE(text.command.wants(Want::kLastKey));
    text.again();
    CHECK(text.command.key == "bb");
    CHECK(text.command.wants(Want::kLastKey));
    CHECK(text.input[text.offset + text.parsed.consumed - 1] == '\n');
  }
}

TEST_CASE("gets, gat and gats say what more they want") {
  CHECK(Text("gets k l\n").command.want == (Want::kValue | Want::kCas));
  Text gat("gat 30 k l\r\n");
  CHECK(gat.command.want == (Want::kValue | Want::kTouch));
  CHECK(gat.command.exptime == 30);
  CHECK(gat.command.key == "k");
  Text gats("gats  -1   k \r\n");
  CHECK(gats.command.want == (Want::kValue | Want::kCas | Want::kTouch));
  CHECK(gats.command.exptime == -1);
  gats.again();
  CHECK(gats.command.op == Op::EndOfKeys);
  CHECK(gats.command.exptime == 0);
}

TEST_CASE("half a get line is left alone") {
  for (const char* line : {"get a b", "get a b ", "gets a b\r", "gat 10 a b", "gats x a b "}) {
    INFO(line);
    Text text(line);
    CHECK(text.needs_more());
    CHECK(text.parsed.consumed == 0);
  }
  // Also behind a whole one.
  Text text("get a\r\ngat 10 b c");
  CHECK(text.command.key == "a");
  text.again();
  CHECK(text.needs_more());
  CHECK(text.parsed.consumed == 0);
}

TEST_CASE("the first keys of a long get line come before its end has arrived") {
  Text text("get a bb " + std::string(kMaxUnfinishedLineBytes, ' ') + "ccc");
  CHECK(text.command.key == "a");
  text.again();
  CHECK(text.command.key == "bb");
  text.again();
  CHECK(text.needs_more());
  CHECK(text.input.substr(text.offset + text.parsed.consumed) == "ccc");
}

TEST_CASE("an endless get line is never kept") {
  TextProtocol parser;
  Command command;
  std::string start = "get" + std::string(kMaxUnfinishedLineBytes, ' ');
  CHECK(parser.parse(start.data(), start.size(), command).consumed == start.size());
  std::string more = "key ";
  for (int i = 0; i < 100000; ++i) {
    const Parsed parsed = parser.parse(more.data(), more.size(), command);
    REQUIRE(parsed.status == Parsed::Status::Complete);
    REQUIRE(command.key == "key");
    more = std::string(" key ");
  }
}

TEST_CASE("a get without a key is a bad line") {
  for (const char* line : {"get\r\n", "get\n", "get \r\n", "gets   \n", "gats\r\n", "gat \r\n",
                           "gat 10\r\n", "gat x\r\n", "gat x \r\n"}) {
    INFO(line);
    larder::test::Player<TextProtocol> player;
    player.feed(line);
    Command expected;
    expected.error = ErrorId::BadCommandLine;
    CHECK(player.commands() == std::vector<std::string>{larder::test::describe(expected)});
    CHECK(player.pending() == 0);
  }
}

TEST_CASE("a carriage return belongs to the newline once, and else to the key") {
  Text text("get a\r \r\r\n");
  CHECK(text.command.key == "a\r");
  text.again();
  CHECK(text.command.key == "\r");
  CHECK(text.command.wants(Want::kLastKey));
}

TEST_CASE("an over-long key takes the line's replies back and the rest of the line is skipped") {
  CHECK(Text("get " + kLongest + "\r\n").command.key == kLongest);
  // Also where the line is too long to be kept and has not ended yet.
  const std::string far(kMaxUnfinishedLineBytes, ' ');
  CHECK(Text("get" + far + kLongest + "\r").needs_more());
  for (const std::string& line : {"get a " + kTooLong + " b c\r\n", "get a " + kTooLong + "\r\n",
                                  "get a " + far + kTooLong, "get a " + far + kTooLong + "\r"}) {
    Text text(line);
    CHECK(text.command.key == "a");
    text.again();
    CHECK(text.refused(ErrorId::BadCommandLine));
    CHECK(text.command.wants(Want::kRewind));
    CHECK(text.command.swallow_bytes == 0);
    text.again();
    CHECK(text.needs_more());
    CHECK(text.offset + text.parsed.consumed == text.input.size());
  }
}

TEST_CASE("what follows a skipped line is parsed at once") {
  TextProtocol parser;
  Command command;
  std::string first = "get" + std::string(kMaxUnfinishedLineBytes, ' ') + kTooLong;
  CHECK(parser.parse(first.data(), first.size(), command).status == Parsed::Status::Complete);
  std::string rest = kTooLong + " b\r\nversion\r\n";
  const Parsed parsed = parser.parse(rest.data(), rest.size(), command);
  CHECK(parsed.status == Parsed::Status::Complete);
  CHECK(command.op == Op::Version);
  CHECK(parsed.consumed == rest.size());
}

TEST_CASE("a bad gat time is told when there is a key, before the key is looked at") {
  for (const std::string& line :
       {std::string("gat x k\r\n"), std::string("gat 99999999999 k\r\n"),
        "gat x " + kTooLong + "\r\n", "gats x " + std::string(kMaxUnfinishedLineBytes, 'k')}) {
    Text text(line);
    CHECK(text.refused(ErrorId::InvalidExptime));
  }
  CHECK(Text("gat - k\r\n").command.exptime == 0);
}

TEST_CASE("storage commands say mode, key, flags, time and length") {
  Text set("set key 4294967295 -5 3 \r\nabc\r\n");
  REQUIRE(set.complete());
  CHECK(set.command.op == Op::Store);
  CHECK(set.command.mode == StoreMode::Set);
  CHECK(set.command.key == "key");
  CHECK(set.command.client_flags == 4294967295u);
  CHECK(set.command.exptime == -5);
  CHECK(set.command.value_bytes == 3);
  CHECK(set.command.want == 0);
  CHECK(set.input.substr(set.parsed.consumed) == "abc\r\n");
  CHECK(Text("add k 0 0 1\r\n").command.mode == StoreMode::Add);
  CHECK(Text("replace k 0 0 1\r\n").command.mode == StoreMode::Replace);
  CHECK(Text("append k 0 0 1\r\n").command.mode == StoreMode::Append);
  CHECK(Text("prepend k 0 0 1\r\n").command.mode == StoreMode::Prepend);
  CHECK(Text("set k 0 0 1 noreply\n").command.quiet());
  CHECK(Text("set k 0 0 1 foo\r\n").command.op == Op::Store);
  Text cas("cas k 1 2 3 18446744073709551615 noreply\r\n");
  CHECK(cas.command.want == (Want::kCompareCas | Want::kQuiet));
  CHECK(cas.command.cas == UINT64_MAX);
}

TEST_CASE("flags and times of storage commands are read laxly, lengths strictly") {
  CHECK(Text("set k 4294967296 0 1\r\n").command.client_flags == 0);
  CHECK(Text("set k +5 4294967297 1\r\n").command.exptime == 1);
  CHECK(Text("set k \t 5 1\r\n").command.client_flags == 5);
  CHECK(Text("set k 0 0 00000000001\r\n").command.value_bytes == 1);
  CHECK(Text("set k 0 0 -\r\n").command.value_bytes == 0);
  CHECK(Text("set k 0 0 2147483645\r\n").command.value_bytes == 2147483645);
  for (const char* line : {"set k 0 0 -1\r\n", "set k 0 0 +1\r\n", "set k 0 0 000000000001\r\n",
                           "set k 0 0 2147483646\r\n", "set k 0 0 4294967296\r\n",
                           "set k 0 0 x noreply\r\n", "set k 0 0\r\n", "set\r\n", "set \r\n"}) {
    INFO(line);
    Text text(line);
    CHECK(text.refused(ErrorId::BadCommandLine));
    // Without a length nothing can be skipped, and noreply is not looked at.
    CHECK(text.command.swallow_bytes == 0);
    CHECK_FALSE(text.command.quiet());
  }
}

TEST_CASE("a storage line refused for another reason has its value skipped") {
  for (const std::string& line :
       {"set " + kTooLong + " 0 0 3", std::string("set k -1 0 3"), std::string("set k abc 0 3"),
        std::string("set k 5x 0 3"), std::string("set k 0 99999999999999999999 3"),
        std::string("cas k 0 0 3"), std::string("cas k 0 0 3 x")}) {
    INFO(line);
    Text text(line + "\r\n");
    CHECK(text.refused(ErrorId::BadCommandLine));
    CHECK(text.command.swallow_bytes == 5);
    CHECK_FALSE(text.command.quiet());
    Text quiet(line + " noreply\r\n");
    CHECK(quiet.refused(ErrorId::BadCommandLine));
    CHECK(quiet.command.swallow_bytes == 5);
    CHECK(quiet.command.quiet());
  }
}

TEST_CASE("delete takes a key and ignores what follows") {
  CHECK(Text("delete k\r\n").command.op == Op::Remove);
  CHECK(Text("delete k 5\r\n").command.key == "k");
  CHECK_FALSE(Text("delete c 5 noreply x\r\n").command.quiet());
  CHECK(Text("delete k 0 noreply\r\n").command.quiet());
  Text odd("delete noreply\r\n");
  CHECK(odd.command.key == "noreply");
  CHECK(odd.command.quiet());
  CHECK(Text("delete\r\n").refused(ErrorId::BadCommandLine));
  CHECK(Text("delete " + kTooLong + "\r\n").refused(ErrorId::BadCommandLine));
}

TEST_CASE("incr and decr take a delta") {
  Text incr("incr k 18446744073709551615\r\n");
  CHECK(incr.command.op == Op::Arith);
  CHECK(incr.command.delta == UINT64_MAX);
  CHECK(incr.command.want == 0);
  CHECK(Text("decr k 5 noreply\r\n").command.want == (Want::kDecrement | Want::kQuiet));
  CHECK(Text("incr k\r\n").refused(ErrorId::BadCommandLine));
  CHECK(Text("incr k -1\r\n").refused(ErrorId::InvalidDelta));
  CHECK(Text("incr k 18446744073709551616\r\n").refused(ErrorId::InvalidDelta));
  CHECK(Text("incr " + kTooLong + " x\r\n").refused(ErrorId::BadCommandLine));
  Text quiet("incr nope x noreply\r\n");
  CHECK(quiet.refused(ErrorId::InvalidDelta));
  CHECK(quiet.command.quiet());
}

TEST_CASE("touch takes a time") {
  Text touch("touch k 100\r\n");
  CHECK(touch.command.op == Op::Touch);
  CHECK(touch.command.exptime == 100);
  CHECK(Text("touch k\r\n").refused(ErrorId::BadCommandLine));
  CHECK(Text("touch k abc\r\n").refused(ErrorId::InvalidExptime));
  CHECK(Text("touch " + kTooLong + " x\r\n").refused(ErrorId::BadCommandLine));
  CHECK(Text("touch k noreply\r\n").command.quiet());
}

TEST_CASE("flush_all takes a delay, a noreply, both or none") {
  Text bare("flush_all\r\n");
  CHECK(bare.command.op == Op::Flush);
  CHECK(bare.command.want == 0);
  Text delayed("flush_all 10\r\n");
  CHECK(delayed.command.want == Want::kDelay);
  CHECK(delayed.command.exptime == 10);
  CHECK(Text("flush_all -1\r\n").command.exptime == -1);
  CHECK(Text("flush_all noreply\r\n").command.want == Want::kQuiet);
  CHECK(Text("flush_all 10 noreply\r\n").command.want == (Want::kQuiet | Want::kDelay));
  CHECK(Text("flush_all 0 6\r\n").command.op == Op::Flush);
  CHECK(Text("flush_all abc\r\n").refused(ErrorId::InvalidExptime));
  Text turned("flush_all noreply 10\r\n");
  CHECK(turned.refused(ErrorId::InvalidExptime));
  CHECK_FALSE(turned.command.quiet());
}

TEST_CASE("the other words") {
  CHECK(Text("version foo\r\n").command.op == Op::Version);
  CHECK(Text("quit foo\r\n").command.op == Op::Quit);
  CHECK(Text("stats\r\n").command.op == Op::Stats);
  CHECK(Text("stats\r\n").command.args.empty());
  CHECK(Text("stats  detail  on \r\n").command.args == "detail  on");
  CHECK(Text("watch\r\n").command.op == Op::Watch);
  CHECK(Text("watch\r\n").command.args.empty());
  CHECK(Text("watch  fetchers mutations \r\n").command.args == "fetchers mutations");
  CHECK(Text(" watch\r\n").refused(ErrorId::UnknownCommand));
  CHECK(Text("verbosity 9\r\n").command.delta == 9);
  CHECK(Text("verbosity\r\n").refused(ErrorId::BadCommandLine));
  CHECK(Text("verbosity abc\r\n").refused(ErrorId::BadCommandLine));
  CHECK(Text("verbosity 4294967296\r\n").refused(ErrorId::BadCommandLine));
  CHECK(Text("verbosity noreply\r\n").command.quiet());
  CHECK(Text("cache_memlimit 64\r\n").command.delta == 64);
  CHECK(Text("cache_memlimit\r\n").refused(ErrorId::UnknownCommand));
  CHECK(Text("cache_memlimit 999999999999\r\n").refused(ErrorId::UnknownCommand));
  CHECK(Text("cache_memlimit 1000000001\r\n").refused(ErrorId::MemLimitMegabytes));
  CHECK(Text("shutdown\r\n").command.op == Op::Shutdown);
  CHECK(Text("shutdown\r\n").command.args.empty());
  CHECK(Text("shutdown grace\r\n").command.want == Want::kGraceful);
  CHECK(Text("shutdown foo\r\n").command.want == 0);
  CHECK(Text("shutdown foo\r\n").command.args == "foo");
  CHECK(Text("shutdown graceful x\r\n").command.want == 0);
  CHECK(Text("refresh_certs\r\n").command.op == Op::RefreshCerts);
  CHECK(Text(" refresh_certs a b\r\n").command.op == Op::RefreshCerts);
  CHECK(Text("refresh_certs noreply\r\n").command.quiet());
  CHECK(Text("refresh_cert\r\n").refused(ErrorId::UnknownCommand));
  CHECK(Text("debugtime p\r\n").command.args == "p");
  CHECK(Text("lru_crawler metadump all\r\n").command.args == "metadump all");
  CHECK(Text("slabs reassign 1 2 noreply \r\n").command.args == "reassign 1 2 noreply");
  CHECK(Text("slabs reassign 1 2 noreply\r\n").command.quiet());
  CHECK(Text(" lru mode flat\r\n").command.op == Op::Lru);
  CHECK(Text("debugtime\r\n").refused(ErrorId::UnknownCommand));
}

TEST_CASE("config get and config delete name one configuration") {
  Text get("config get cluster\r\n");
  CHECK(get.command.op == Op::ConfigGet);
  CHECK(get.command.key == "cluster");
  CHECK(get.whole());
  CHECK(Text("config  delete  x \n").command.op == Op::ConfigDelete);
  CHECK(Text("config  delete  x \n").command.key == "x");
  for (const char* line : {"config get\r\n", "config delete\r\n", "config get a b\r\n",
                           "config get a noreply\r\n", "config delete a noreply\r\n",
                           "config set\r\n", "config set a\r\n", "config set a 0\r\n"}) {
    INFO(line);
    Text text(line);
    CHECK(text.refused(ErrorId::BadCommandLine));
    CHECK_FALSE(text.command.quiet());
    CHECK(text.whole());
  }
  CHECK(Text("config get " + std::string(250, 'k') + "\r\n").command.op == Op::ConfigGet);
  CHECK(Text("config get " + std::string(251, 'k') + "\r\n").refused(ErrorId::BadCommandLine));
  for (const char* line : {"config\r\n", "config list\r\n", " config get cluster\r\n",
                           "Config get cluster\r\n", "configs get a\r\n", "conf\r\n"}) {
    INFO(line);
    CHECK(Text(line).refused(ErrorId::UnknownCommand));
  }
}

TEST_CASE("config set is a command when its block has come") {
  Text set("config set cluster 7 5\r\na\r\nbc\r\nversion\r\n");
  REQUIRE(set.complete());
  CHECK(set.command.op == Op::ConfigSet);
  CHECK(set.command.key == "cluster");
  CHECK(set.command.client_flags == 7);
  CHECK(set.command.args == "a\r\nbc");
  set.again();
  CHECK(set.command.op == Op::Version);
  CHECK(Text("config set cluster 0 0\r\n\r\n").command.args.empty());
  for (const char* part : {"config set a 0 5\r\n", "config set a 0 5\r\nhello",
                           "config set a 0 5\r\nhello\r", "config set a b 5\r\nhell"}) {
    INFO(part);
    Text text(part);
    CHECK(text.needs_more());
    CHECK(text.parsed.consumed == 0);
  }
}

TEST_CASE("a config set that is refused takes its block with it once its length is known") {
  const auto refused_whole = [](const std::string& request, ErrorId error) {
    INFO(request.substr(0, 60));
    Text text(request);
    CHECK(text.refused(error));
    CHECK(text.whole());
    CHECK(text.command.swallow_bytes == 0);
  };
  refused_whole("config set a b 2\r\nxx\r\n", ErrorId::BadCommandLine);
  refused_whole("config set a 4294967296 2\r\nxx\r\n", ErrorId::BadCommandLine);
  refused_whole("config set a 0 2 noreply\r\nxx\r\n", ErrorId::BadCommandLine);
  refused_whole("config set " + std::string(251, 'k') + " 0 2\r\nxx\r\n", ErrorId::BadCommandLine);
  refused_whole("config set a 0 2\r\nxxyy", ErrorId::BadDataChunk);
  refused_whole("config set a 0 -1\r\n", ErrorId::BadCommandLine);
  refused_whole("config set a 0 x\r\n", ErrorId::BadCommandLine);
  refused_whole("config set a 0 2147483647\r\n", ErrorId::BadCommandLine);

  const std::string most = std::to_string(kMaxConfigBytes);
  const std::string block(kMaxConfigBytes, 'x');
  CHECK(Text("config set a 0 " + most + "\r\n" + block + "\r\n").command.args == block);
  Text large("config set a 0 " + std::to_string(kMaxConfigBytes + 1) + "\r\n");
  CHECK(large.refused(ErrorId::TooLarge));
  CHECK(large.command.swallow_bytes == kMaxConfigBytes + 1 + 2);
}

TEST_CASE("words are lower case, at the start of the line, with blanks behind them") {
  for (const char* line :
       {"GET c\r\n", " get c\r\n", "get\tc\r\n", "ab\r\n", "abc\n", "    \r\n", "mn\r\r\n",
        "mx\r\n", "mgx\r\n", "extstore item_size 5\r\n", "HTTP/1.1\r\n"}) {
    INFO(line);
    Text text(line);
    CHECK(text.refused(ErrorId::UnknownCommand));
    CHECK(text.whole());
    CHECK_FALSE(text.command.quiet());
  }
  // Except for administrative ones.
  CHECK(Text(" flush_all\r\n").command.op == Op::Flush);
  CHECK(Text("  verbosity 1\r\n").command.op == Op::Verbosity);
  CHECK(Text("foo noreply\r\n").command.quiet());
  CHECK(Text("noreply\r\n").command.quiet());
}

TEST_CASE("lines of less than two characters are bad lines") {
  for (const char* line : {"\r\n", "\n", "a\r\n", "ab\n", "mn\n"}) {
    Text text(line);
    CHECK(text.refused(ErrorId::BadCommandLine));
    CHECK(text.whole());
  }
}

TEST_CASE("a browser's request closes the connection, a key that looks like one does not") {
  CHECK(Text("GET / HTTP/1.1\r\n").closes());
  CHECK(Text("mx HTTP/1\r\n").closes());
  CHECK(Text("get k HTTP/1.1\r\n").command.key == "k");
  CHECK(Text("delete k HTTP/1.1\r\n").command.op == Op::Remove);
  Text quiet("x HTTP/1.1 noreply\r\n");
  CHECK(quiet.refused(ErrorId::UnknownCommand));
  CHECK(quiet.command.quiet());
}

TEST_CASE("a line without an end closes the connection beyond 2048 bytes") {
  const std::string x(kMaxUnfinishedLineBytes + 1, 'x');
  CHECK(Text(x.substr(1)).needs_more());
  CHECK(Text(x).closes());
  CHECK(Text("mg " + x).closes());
  CHECK(Text("gat " + x).closes());  // its time has no end either
  // What has come whole is looked at, however long.
  CHECK(Text("delete " + x + "\r\n").refused(ErrorId::BadCommandLine));
  CHECK(Text(x + "\r\n").refused(ErrorId::UnknownCommand));
}

TEST_CASE("nothing is consumed of a line that is not whole") {
  for (const char* line : {"", "g", "get", "gets", "gat", "gat 10", "set k 0 0 1\r", "mg k v"}) {
    INFO(line);
    Text text(line);
    CHECK(text.needs_more());
    CHECK(text.parsed.consumed == 0);
  }
}

TEST_CASE("keys may hold any byte but blank and newline") {
  std::string key;
  for (int c = 0; c < 250; ++c) {
    if (c != ' ' && c != '\n') key += static_cast<char>(c);
  }
  CHECK(Text("get " + key + "\r\n").command.key == key);
  CHECK(Text("set " + key + " 0 0 1\r\n").command.key == key);
  CHECK(Text("mg " + key + " v\r\n").command.key == key);
}

TEST_CASE("a command does not inherit from the one before") {
  Text text("decr k 5 noreply\r\nset a 1 2 3\r\n");
  text.again();
  CHECK(text.command.want == 0);
  CHECK(text.command.delta == 1);
  CHECK(text.command.key == "a");
}

namespace {

bool same(const Command& a, const Command& b) {
  return a.op == b.op && a.dialect == b.dialect && a.mode == b.mode && a.error == b.error &&
         a.want == b.want && a.key == b.key && a.opaque == b.opaque && a.cas == b.cas &&
         a.client_flags == b.client_flags && a.value_bytes == b.value_bytes &&
         a.swallow_bytes == b.swallow_bytes && a.exptime == b.exptime;
}

}  // namespace

TEST_CASE("lines that are parsed in one pass mean what they mean word by word") {
  const std::vector<std::string> keys = {"k", "a-key-of-some-length", kLongest, kTooLong};
  const std::vector<std::string> numbers = {"0",         "7",          "60",         "007",
                                            "999999999", "1000000000", "4294967295", "4294967296",
                                            "-1",        "x",          "1x",         ""};
  size_t complete = 0;
  const auto compare = [&](const std::string& words) {
    CAPTURE(words);
    Text plain(words + "\r\n");
    Text bare(words + "\n");  // what is parsed in one pass ends with \r\n
    REQUIRE(plain.complete());
    REQUIRE(bare.complete());
    CHECK(same(plain.command, bare.command));
    CHECK(plain.parsed.consumed == bare.parsed.consumed + 1);
    if (plain.command.op != Op::Error) {
      CHECK(plain.command.return_flags == bare.command.return_flags);
      ++complete;
    }
    for (size_t cut = 1; cut <= words.size(); cut += 7) {
      CHECK_FALSE(Text((words + "\r\n").substr(0, cut)).complete());
    }
  };
  for (const std::string& key : keys) {
    for (const std::string& flags : numbers) {
      for (const std::string& exptime : numbers) {
        for (const std::string& length : numbers) {
          compare("set " + key + " " + flags + " " + exptime + " " + length);
        }
      }
    }
    for (const char* flags : {"v",
                              "v t f",
                              "k v q",
                              "O123 v",
                              "v Oabc",
                              "O v",
                              "s c h l t f k v q",
                              "v v",
                              "O1 O2",
                              "v  t",
                              "v ",
                              " v",
                              "x",
                              "v1",
                              "T30 v",
                              "v Oabcdefghijklmnopqrstuvwxyz01234",
                              "v Oabcdefghijklmnopqrstuvwxyz012345",
                              "\x80",
                              "E5 v",
                              "b v"}) {
      compare("mg " + key + " " + flags);
    }
  }
  CHECK(complete > 500);
}
