#include "daemon/json.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <string>

namespace larder::daemon {
namespace {

TEST_CASE("objects and arrays have commas where they belong") {
  Json json;
  json.object().member("a", 1).member("b").array().value("x").value(true).end();
  json.member("c").object().end().member("d").array().object().end().object().end().end().end();
  CHECK(json.take() == std::string(R"({"a":1,"b":["x",true],"c":{},"d":[{},{}]})"));
}

TEST_CASE("what must not stand in a text is escaped") {
  Json json;
  json.value(std::string_view("a\"b\\c\n\x01\xc3\xa9\0", 10));
  CHECK(json.take() == std::string("\"a\\\"b\\\\c\\u000a\\u0001\xc3\xa9\\u0000\""));
}

TEST_CASE("numbers are numbers, and what is none is null") {
  Json json;
  json.array().value(-5).value(0.25).value(UINT64_MAX).value(std::nan("")).value(HUGE_VAL).end();
  CHECK(json.take() == std::string("[-5,0.25,18446744073709551615,null,null]"));
}

TEST_CASE("a row's value is a number only if JSON has it so") {
  Json json;
  json.array();
  for (const char* text :
       {"0", "12", "-1", "0.80", "-0.5", "007", "1.", ".5", "", "-", "0x1", "1e5", "yes"}) {
    json.number_or_text(text);
  }
  json.end();
  CHECK(json.take() ==
        std::string(R"([0,12,-1,0.80,-0.5,"007","1.",".5","","-","0x1","1e5","yes"])"));
}

}  // namespace
}  // namespace larder::daemon
