#include "proto/binary_protocol.h"
#include "tests/fuzz/parser_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  larder::test::fuzz_parser<larder::proto::BinaryProtocol>(data, size);
  return 0;
}
