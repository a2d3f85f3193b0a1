#include "proto/meta_parser.h"

#include <catch2/catch.hpp>
#include <string>

#include "proto/limits.h"
#include "proto/text_protocol.h"
#include "tests/proto/parse_one.h"

using namespace larder::proto;
using Text = larder::test::ParseOne<TextProtocol>;

namespace {

const std::string kTooLong(kMaxKeyBytes + 1, 'k');

}  // namespace

TEST_CASE("mg says what to answer in the order asked") {
  Text mg("mg key v  t f O123 k \r\n");
  REQUIRE(mg.complete());
  CHECK(mg.whole());
  CHECK(mg.command.op == Op::Get);
  CHECK(mg.command.dialect == Dialect::Meta);
  CHECK(mg.command.key == "key");
  CHECK(mg.command.want == Want::kValue);
  CHECK(mg.command.opaque == "123");
  CHECK(mg.command.return_flags == "v  t f O123 k ");
  CHECK(Text("mg  k  \r\n").command.return_flags.empty());
}

TEST_CASE("mg flags become wishes and numbers") {
  Text mg("mg k v q u T30 N40 R-5 E77 C18446744073709551615\r\n");
  CHECK(mg.command.want ==
        (Want::kValue | Want::kQuiet | Want::kNoBump | Want::kTouch | Want::kVivify |
         Want::kRecache | Want::kExplicitCas | Want::kConditional));
  CHECK(mg.command.exptime == 30);
  CHECK(mg.command.vivify_exptime == 40);
  CHECK(mg.command.recache_exptime == -5);
  CHECK(mg.command.new_cas == 77);
  CHECK(mg.command.cas == UINT64_MAX);
}

TEST_CASE("flags of other meta commands are accepted and mean nothing") {
  CHECK(Text("mg k x I F5 MZ J1 D2 P1 Lx\r\n").command.want == 0);
  CHECK(Text("md k v u N5 R5 M!\r\n").command.want == 0);
  CHECK(Text("ms k 1 v u x T5 R5 N5 I\r\n").command.want == 0);
}

TEST_CASE("ms has a length, a mode and two kinds of CAS") {
  Text ms("ms key 5 T100 F7 C10 E20 I q\r\nhello\r\n");
  REQUIRE(ms.complete());
  CHECK(ms.command.op == Op::Store);
  CHECK(ms.command.value_bytes == 5);
  CHECK(ms.command.exptime == 100);
  CHECK(ms.command.client_flags == 7);
  CHECK(ms.command.cas == 10);
  CHECK(ms.command.new_cas == 20);
  CHECK(ms.command.want ==
        (Want::kQuiet | Want::kCompareCas | Want::kExplicitCas | Want::kInvalidate));
  CHECK(ms.input.substr(ms.parsed.consumed) == "hello\r\n");
  CHECK(Text("ms k 1 MSET\r\n").command.mode == StoreMode::Set);
  CHECK(Text("ms k 1 ME\r\n").command.mode == StoreMode::Add);
  CHECK(Text("ms k 1 MA\r\n").command.mode == StoreMode::Append);
  CHECK(Text("ms k 1 MP\r\n").command.mode == StoreMode::Prepend);
  CHECK(Text("ms k 1 MR\r\n").command.mode == StoreMode::Replace);
  CHECK(Text(std::string("ms k 1 M\0\r\n", 11)).command.mode == StoreMode::Set);
}

TEST_CASE("C, E, I and N of ms count only in the modes that know them") {
  CHECK(Text("ms k 1 MR C5\r\n").command.mode == StoreMode::Set);
  CHECK(Text("ms k 1 MR C5\r\n").command.want == Want::kCompareCas);
  CHECK(Text("ms k 1 C0\r\n").command.want == Want::kCompareCas);
  CHECK(Text("ms k 1 ME C5 I\r\n").command.want == 0);
  CHECK(Text("ms k 1 MA C5 I\r\n").command.want == Want::kCompareCas);
  CHECK(Text("ms k 1 MP C0\r\n").command.want == 0);
  CHECK(Text("ms k 1 MA N30\r\n").command.want == Want::kVivify);
  CHECK(Text("ms k 1 MA N30\r\n").command.vivify_exptime == 30);
  CHECK(Text("ms k 1 N30\r\n").command.want == 0);
  CHECK(Text("ms k 1 E0\r\n").command.want == 0);
  CHECK(Text("ms k 1 I\r\n").command.want == 0);
}

TEST_CASE("md removes, marks or blanks") {
  CHECK(Text("md k\r\n").command.op == Op::Remove);
  CHECK(Text("md k q I T30 C1 E2\r\n").command.want ==
        (Want::kQuiet | Want::kInvalidate | Want::kTouch | Want::kCompareCas | Want::kExplicitCas));
  Text blank("md k x F9\r\n");
  CHECK(blank.command.want == Want::kDropValue);
  CHECK(blank.command.client_flags == 9);
}

TEST_CASE("ma counts up by one unless told otherwise") {
  Text ma("ma k\r\n");
  CHECK(ma.command.op == Op::Arith);
  CHECK(ma.command.delta == 1);
  CHECK(ma.command.initial == 0);
  CHECK(ma.command.want == 0);
  Text all("ma k N60 J13 D10 T30 MD q v C5 E6\r\n");
  CHECK(all.command.delta == 10);
  CHECK(all.command.initial == 13);
  CHECK(all.command.vivify_exptime == 60);
  CHECK(all.command.exptime == 30);
  CHECK(all.command.want == (Want::kDecrement | Want::kVivify | Want::kTouch | Want::kQuiet |
                             Want::kValue | Want::kCompareCas | Want::kExplicitCas));
  CHECK(Text("ma k M-\r\n").command.want == Want::kDecrement);
  CHECK(Text("ma k M+\r\n").command.want == 0);
  CHECK(Text("ma k Mincr\r\n").refused(ErrorId::MetaInvalidModeArith));
  CHECK(Text("ma k Incr\r\n").command.op == Op::Arith);  // an I, which counts for nothing
  CHECK(Text("ma k C0\r\n").command.want == 0);
}

TEST_CASE("mn takes anything, me almost nothing") {
  CHECK(Text("mn\r\n").command.op == Op::Noop);
  CHECK(Text("mn x ! noreply\r\n").command.op == Op::Noop);
  CHECK(Text("mn\r\n").command.dialect == Dialect::Meta);
  CHECK(Text("me k\r\n").command.op == Op::Describe);
  CHECK(Text("me k zzz 1 2 3\r\n").command.key == "k");
  // b counts only with something behind it.
  CHECK(Text("me Zm9v b\r\n").command.key == "Zm9v");
  Text me("me Zm9v b x\r\n");
  CHECK(me.command.key == "foo");
  CHECK(me.command.want == Want::kBase64Key);
  CHECK(Text("me Zm9v x b\r\n").command.key == "Zm9v");
  CHECK(Text("me Z b x\r\n").refused(ErrorId::BadCommandLine));
  CHECK(Text("me " + kTooLong + "\r\n").refused(ErrorId::BadCommandLine));
}

TEST_CASE("a base64 key is decoded where it stands") {
  Text mg("mg Zm9v b k\r\n");
  CHECK(mg.command.key == "foo");
  CHECK(mg.command.key.data() == mg.input.data() + 3);
  CHECK(mg.command.want == Want::kBase64Key);
  CHECK(mg.command.return_flags == "b k");
  CHECK(Text("ms Zg==Zm9v 1 b\r\n").command.key == "f");
  for (const char* line : {"mg !!!! b\r\n", "mg Z b k O5\r\n", "md ==== b\r\n"}) {
    CHECK(Text(line).refused(ErrorId::MetaBadBase64));
  }
  CHECK(Text("ma Z b\r\n").refused(ErrorId::MetaInvalidOrDuplicate));
}

TEST_CASE("meta lines without key or length are bad lines") {
  for (const std::string& line :
       {std::string("mg"), std::string("mg  "), std::string("ms"), std::string("ms a"),
        std::string("md"), std::string("ma"), std::string("me"), "mg " + kTooLong, "md " + kTooLong,
        std::string("ms a abc"), std::string("ms a -1"), std::string("ms k S2"),
        std::string("ms k 2147483646"), std::string("ms k 000000000002")}) {
    INFO(line);
    Text text(line + "\r\n");
    CHECK(text.refused(ErrorId::BadCommandLine));
    CHECK(text.command.swallow_bytes == 0);
    CHECK(text.whole());
  }
  CHECK(Text("ma " + kTooLong + "\r\n").refused(ErrorId::MetaInvalidOrDuplicate));
}

TEST_CASE("a flag that begins with anything but letter or digit spoils the line") {
  for (const char* line : {"mg k !\r\n", "mg k v !\r\n", "mg k v v !\r\n", "ma k @\r\n",
                           "me k \x80\r\n", "mg k {\r\n"}) {
    INFO(line);
    CHECK(Text(line).refused(ErrorId::BadCommandLine));
  }
  // Then the value of an ms is not skipped, since the line was given up before its length was read.
  CHECK(Text("ms k 2 !\r\n").refused(ErrorId::BadCommandLine));
  CHECK(Text("ms k 2 !\r\n").command.swallow_bytes == 0);
  CHECK(Text("mg k [\r\n").refused(ErrorId::MetaInvalidFlag));
  CHECK(Text("mg k 5\r\n").refused(ErrorId::MetaInvalidFlag));
}

TEST_CASE("of several errors the client hears of the right one") {
  CHECK(Text("mg k S1\r\n").refused(ErrorId::MetaInvalidFlag));
  CHECK(Text("mg k v v\r\n").refused(ErrorId::MetaDuplicateFlag));
  // The first unknown or repeated flag ends the walk, whatever was found before.
  CHECK(Text("mg k v a v\r\n").refused(ErrorId::MetaInvalidFlag));
  CHECK(Text("mg k Tx a\r\n").refused(ErrorId::MetaInvalidFlag));
  CHECK(Text("mg k Tx v v a\r\n").refused(ErrorId::MetaDuplicateFlag));
  // Of bad numbers the last counts, but a bad F has no words of its own.
  CHECK(Text("mg k Dx Tx\r\n").refused(ErrorId::MetaBadToken));
  CHECK(Text("mg k Tx Jx\r\n").refused(ErrorId::MetaInvalidInitial));
  CHECK(Text("mg k Dx\r\n").refused(ErrorId::MetaInvalidDelta));
  CHECK(Text("mg k Fx\r\n").refused(ErrorId::BadCommandLine));
  CHECK(Text("mg k F4294967296\r\n").refused(ErrorId::BadCommandLine));
  CHECK(Text("mg k Tx Fx\r\n").refused(ErrorId::MetaBadToken));
  CHECK(Text("mg k T\r\n").refused(ErrorId::MetaBadToken));
  CHECK(Text("mg k C-1\r\n").refused(ErrorId::MetaBadToken));
  CHECK(Text("mg k T-\r\n").command.exptime == 0);
  // Too many come before all that, the key before too many.
  const std::string many = " v v v v v v v v v v v v v v v v v v v";
  CHECK(Text("mg k" + many + "\r\n").refused(ErrorId::MetaFlagsTooLong));
  CHECK(Text("mg " + kTooLong + many + "\r\n").refused(ErrorId::BadCommandLine));
  // Modes come after flags, opaques last.
  const std::string opaque = "O" + std::string(kMaxOpaqueTokenBytes, '1');
  CHECK(Text("mg k " + opaque + "\r\n").refused(ErrorId::MetaOpaqueTooLong));
  CHECK(Text("mg k " + opaque.substr(1) + "\r\n").refused(ErrorId::MetaInvalidFlag));
  CHECK(Text("ms k 1 MX " + opaque + "\r\n").refused(ErrorId::MetaInvalidModeStore));
  CHECK(Text("ma k MX Dx\r\n").refused(ErrorId::MetaInvalidOrDuplicate));
  CHECK(Text("ma k D1 D1\r\n").refused(ErrorId::MetaInvalidOrDuplicate));
  CHECK(Text("mg k M\r\n").command.op == Op::Get);
  CHECK(Text("ms k 1 M\r\n").refused(ErrorId::MetaInvalidModeStore));
}

TEST_CASE("the longest opaque and the most flags are taken") {
  const std::string opaque(kMaxOpaqueTokenBytes - 1, '1');
  CHECK(Text("mg k O" + opaque + " k\r\n").command.opaque == opaque);
  CHECK(Text("mg k O\r\n").command.op == Op::Get);
  CHECK(Text("mg k v q k O1 s t c f h l u N1 R1 T1 E1 C1 F1 D1\r\n").command.op == Op::Get);
  CHECK(Text("mg k v q k O1 s t c f h l u N1 R1 T1 E1 C1 F1 D1 J1\r\n")
            .refused(ErrorId::MetaFlagsTooLong));
}

TEST_CASE("an ms refused for its flags has its value skipped") {
  for (const std::string& line :
       {std::string("ms k 3 S1"), std::string("ms k 3 q q"), std::string("ms k 3 M!"),
        "ms " + kTooLong + " 3", std::string("ms Z 3 b"), std::string("ms k 3 Tx q"),
        "ms k 3 O" + std::string(kMaxOpaqueTokenBytes, '1')}) {
    INFO(line);
    Text text(line + "\r\n");
    CHECK(text.complete());
    CHECK(text.command.op == Op::Error);
    CHECK(text.command.swallow_bytes == 5);
  }
}
