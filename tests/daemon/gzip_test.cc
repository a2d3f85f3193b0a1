#include "daemon/gzip.h"

#include <zlib.h>

#include <catch2/catch.hpp>
#include <string>

namespace larder::daemon {
namespace {

std::string unzip(const std::string& bytes, size_t most) {
  z_stream stream{};
  REQUIRE(inflateInit2(&stream, MAX_WBITS + 16) == Z_OK);
  std::string out(most, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  CHECK(inflate(&stream, Z_FINISH) == Z_STREAM_END);
  CHECK(stream.avail_in == 0);
  out.resize(stream.total_out);
  inflateEnd(&stream);
  return out;
}

TEST_CASE("what is compressed comes back as it was") {
  std::string rows, noise;
  for (uint32_t i = 0, x = 1; i < 100'000; ++i, x = x * 1664525 + 1013904223) {
    rows += "row " + std::to_string(i % 100) + '\n';
    noise += static_cast<char>(x >> 24);
  }
  for (const std::string& bytes : {std::string(), std::string("a"), rows, noise}) {
    CHECK(unzip(gzip(bytes), bytes.size() + 1) == bytes);
  }
  CHECK(gzip(rows).size() < rows.size() / 20);
}

TEST_CASE("who takes gzip says so") {
  for (const char* header :
       {"gzip", "gzip, deflate, br", "br,gzip;q=0.5", "identity ,\tgzip ; q=1", "gzip;q=0.001"}) {
    INFO(header);
    CHECK(takes_gzip(header));
  }
  for (const char* header :
       {"", ",", "br", "gzip2", "x gzip", "gzip;q=0", "gzip; q=0.000", "*", "identity;gzip"}) {
    INFO(header);
    CHECK_FALSE(takes_gzip(header));
  }
  CHECK_FALSE(takes_gzip(nullptr));
}

}  // namespace
}  // namespace larder::daemon
