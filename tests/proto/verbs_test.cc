#include "proto/verbs.h"

#include <catch2/catch.hpp>
#include <set>
#include <string>

using namespace larder::proto;

TEST_CASE("every text verb is found by its word and by nothing near it") {
  for (const TextVerb& verb : kTextVerbs) {
    const std::string word(verb.word);
    INFO(word);
    CHECK(find_text_verb(word) == &verb);
    CHECK(find_text_verb(word + "x") == nullptr);
    if (word != "gets" && word != "gats") CHECK(find_text_verb(word.substr(1)) == nullptr);
  }
  CHECK(find_text_verb("") == nullptr);
  CHECK(find_text_verb("GET") == nullptr);
}

TEST_CASE("every meta flag has one row, and a row for each letter that the commands know") {
  std::set<char> letters;
  for (const MetaFlag& flag : kMetaFlags) {
    CHECK(letters.insert(flag.letter).second);
    CHECK(meta_flag(static_cast<unsigned char>(flag.letter)).argument == flag.argument);
  }
  const std::string known = "bcfhklqstuvxCDEFIJLMNOPRT";
  CHECK(letters == std::set<char>(known.begin(), known.end()));
}

TEST_CASE("each quiet opcode does what its loud sibling does") {
  const std::pair<int, int> pairs[] = {{0x00, 0x09}, {0x0c, 0x0d}, {0x01, 0x11}, {0x02, 0x12},
                                       {0x03, 0x13}, {0x04, 0x14}, {0x05, 0x15}, {0x06, 0x16},
                                       {0x07, 0x17}, {0x08, 0x18}, {0x0e, 0x19}, {0x0f, 0x1a},
                                       {0x1d, 0x1e}, {0x23, 0x24}};
  std::set<int> quiet_ones;
  for (const auto& [loud, quiet] : pairs) {
    INFO(loud);
    const BinaryVerb& a = binary_verb(static_cast<uint8_t>(loud));
    const BinaryVerb& b = binary_verb(static_cast<uint8_t>(quiet));
    CHECK(a.shape != BinaryShape::Unknown);
    CHECK(b.op == a.op);
    CHECK(b.shape == a.shape);
    CHECK(b.mode == a.mode);
    CHECK(b.want == (a.want | Want::kQuiet));
    quiet_ones.insert(quiet);
  }
  for (const BinaryVerb& verb : kBinaryVerbs) {
    CHECK(((verb.want & Want::kQuiet) != 0) == (quiet_ones.count(verb.opcode) == 1));
  }
}

TEST_CASE("opcodes without a row are unknown, and keep their number") {
  for (const int opcode : {0x1b, 0x1f, 0x25, 0x30, 0x3c, 0x61, 0xff}) {
    CHECK(binary_verb(static_cast<uint8_t>(opcode)).shape == BinaryShape::Unknown);
    CHECK(binary_verb(static_cast<uint8_t>(opcode)).opcode == opcode);
  }
}
