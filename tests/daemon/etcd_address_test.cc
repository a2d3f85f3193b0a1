#include "daemon/etcd_address.h"

#include <catch2/catch.hpp>
#include <stdexcept>
#include <string>

namespace larder::daemon {
namespace {

std::string refusal(const std::string& text) {
  try {
    parse_etcd_addresses(text);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

TEST_CASE("the addresses of etcd are names or addresses, with ports or without") {
  CHECK(parse_etcd_addresses("etcd1:1,http://10.0.0.1:2/,,[::1]:3,::1,[fe80::1],e") ==
        std::vector<EtcdAddress>{{"etcd1", 1},
                                 {"10.0.0.1", 2},
                                 {"::1", 3},
                                 {"::1", 2379},
                                 {"fe80::1", 2379},
                                 {"e", 2379}});
  CHECK(EtcdAddress{"etcd1", 1}.text() == "etcd1:1");
  CHECK(EtcdAddress{"::1", 3}.text() == "[::1]:3");
}

TEST_CASE("what is no address of etcd is refused with a sentence that names it") {
  CHECK(refusal("a:1,https://b:2") ==
        "option --cluster-etcd: 'https://b:2' asks for TLS, which larderd does not speak with "
        "etcd; give an http:// address");
  for (const char* text : {"a:0", "a:65536", "a:x", "a b:1", "a|1.2.3.4:1", ":1", "http://", "[:1",
                           "[]:1", "a:1/path", "ftp://a:1"}) {
    INFO(text);
    CHECK(refusal(text) == "option --cluster-etcd: '" + std::string(text) + "' is not host:port");
  }
  CHECK(refusal("") == "option --cluster-etcd: '' is not a list of host:port");
  CHECK(refusal(",,") == "option --cluster-etcd: ',,' is not a list of host:port");
}

}  // namespace
}  // namespace larder::daemon
