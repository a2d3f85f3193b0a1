#include "tools/larder/report.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

using namespace larder;
using namespace larder::operate;

TEST_CASE("base64 has the padding of each length") {
  CHECK(base64("") == "");
  CHECK(base64("f") == "Zg==");
  CHECK(base64("fo") == "Zm8=");
  CHECK(base64("foo") == "Zm9v");
  CHECK(base64("\xff\xfe\xfd") == "//79");
}

TEST_CASE("bytes that are no UTF-8 have another name in JSON, where they are base64") {
  Json object = {};
  put_bytes(object, "value", "\xc3\xa9");
  put_bytes(object, "key", "\xff");
  CHECK(object["value"] == "\xc3\xa9");
  CHECK(object["key_base64"] == "/w==");
  CHECK_FALSE(object.contains("key"));
}

TEST_CASE("JSON has no byte that a terminal obeys, and reads back as it was") {
  const Json json = {{"a\xc2\x9b", "\x1b\x7f\xc2\x80\xc3\xa9"}};
  const std::string text = json_text(json, -1);
  CHECK(text == "{\"a\\u009b\":\"\\u001b\\u007f\\u0080\xc3\xa9\"}");
  CHECK(Json::parse(text) == json);
}

TEST_CASE("an error as JSON has its kind and its sentence") {
  CHECK(json_of({client::ErrorKind::Timeout, "a:1 is slow"}) ==
        Json{{"kind", "timeout"}, {"text", "a:1 is slow"}});
}
