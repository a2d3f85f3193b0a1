#include "daemon/listen_address.h"

#include <catch2/catch.hpp>
#include <stdexcept>
#include <string>

using namespace larder::daemon;

namespace {

using Protocol = Settings::Protocol;

std::string refusal(const std::string& text) {
  try {
    parse_listen_address(text, 11211);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("an -l is an address, with or without a port") {
  struct Example {
    const char* text;
    const char* host;
    int port;
  };
  for (const Example& e : std::initializer_list<Example>{{"127.0.0.1", "127.0.0.1", 11211},
                                                         {"127.0.0.1:11300", "127.0.0.1", 11300},
                                                         {"localhost:-1", "localhost", -1},
                                                         {"[::1]:11300", "::1", 11300},
                                                         {"[::1]", "::1", 11211},
                                                         {"::1", "::1", 11211},
                                                         {"*", "", 11211},
                                                         {"*:11300", "", 11300},
                                                         {":11300", "", 11300}}) {
    CAPTURE(e.text);
    const ListenAddress address = parse_listen_address(e.text, 11211);
    CHECK(address.host == e.host);
    CHECK(address.port == e.port);
    CHECK(!address.tls);
    CHECK(!address.protocol);
    CHECK(address.tag.empty());
  }
}

TEST_CASE("before the address stand TLS, protocol and tag, in this order") {
  struct Example {
    const char* prefixes;
    std::optional<TlsMode> tls;
    std::optional<Protocol> protocol;
    const char* tag;
  };
  for (const Example& e : std::initializer_list<Example>{
           {"notls:", TlsMode::Off, {}, ""},
           {"btls:", TlsMode::NoPeer, {}, ""},
           {"mtls:", TlsMode::WithPeer, {}, ""},
           {"proto[ascii]:", {}, Protocol::Ascii, ""},
           {"proto[binary]:", {}, Protocol::Binary, ""},
           {"proto[negotiating]:", {}, Protocol::Auto, ""},
           {"proto[b]:", {}, Protocol::Binary, ""},
           {"tag[services]:", {}, {}, "services"},
           {"tag_a_:", {}, {}, "a"},
           {"tag[a_b]:", {}, {}, "a_b"},
           {"mtls:proto[ascii]:tag_tools_:", TlsMode::WithPeer, Protocol::Ascii, "tools"},
           {"btls:tag[x]:", TlsMode::NoPeer, {}, "x"},
       }) {
    for (const char* host : {"127.0.0.1:11300", "[::1]:11300", "localhost:11300"}) {
      CAPTURE(e.prefixes, host);
      const ListenAddress address = parse_listen_address(std::string(e.prefixes) + host, 11211);
      CHECK(address.host == parse_listen_address(host, 11211).host);
      CHECK(address.port == 11300);
      CHECK(address.tls == e.tls);
      CHECK(address.protocol == e.protocol);
      CHECK(address.tag == e.tag);
    }
  }
}

TEST_CASE("a host may begin like a prefix") {
  for (const char* host : {"protocol.example", "tags.example", "mtls.example", "proto", "tag"}) {
    CHECK(parse_listen_address(host, 11211).host == host);
  }
}

TEST_CASE("an -l that names no address is refused with a sentence that quotes it") {
  CHECK(refusal("127.0.0.1:http") == "cannot listen on -l 127.0.0.1:http: 'http' is no port");
  CHECK(refusal("127.0.0.1:99999") == "cannot listen on -l 127.0.0.1:99999: '99999' is no port");
  CHECK(refusal("[::1:11211") == "cannot listen on -l [::1:11211: a '[' without its ']'");
  CHECK(refusal("[::1]11211") == "cannot listen on -l [::1]11211: expected a port after ']'");
}

TEST_CASE("a prefix that says nothing is refused with a sentence that quotes it") {
  CHECK(refusal("proto[ascii") == "cannot listen on -l proto[ascii: a 'proto[' without its ']:'");
  CHECK(refusal("proto[ascii]127.0.0.1") ==
        "cannot listen on -l proto[ascii]127.0.0.1: a 'proto[' without its ']:'");
  CHECK(refusal("proto[proxy]:::1") ==
        "cannot listen on -l proto[proxy]:::1: 'proxy' is not ascii, binary or negotiating");
  CHECK(refusal("tag_x:::1") == "cannot listen on -l tag_x:::1: a 'tag_' without its '_:'");
  CHECK(refusal("tag[]:::1") == "cannot listen on -l tag[]:::1: a tag has 1 to 8 characters");
  CHECK(refusal("tag[123456789]:::1") ==
        "cannot listen on -l tag[123456789]:::1: a tag has 1 to 8 characters");
}

TEST_CASE("an --http address without a host is on loopback, and * is any") {
  struct Example {
    const char* text;
    const char* host;
    int port;
  };
  for (const Example& e : std::initializer_list<Example>{{"9150", "127.0.0.1", 9150},
                                                         {":9150", "127.0.0.1", 9150},
                                                         {"0", "127.0.0.1", 0},
                                                         {"*:9150", "", 9150},
                                                         {"0.0.0.0:9150", "0.0.0.0", 9150},
                                                         {"[::1]:9150", "::1", 9150},
                                                         {"localhost:9150", "localhost", 9150}}) {
    CAPTURE(e.text);
    const ListenAddress address = parse_http_address(e.text);
    CHECK(address.host == e.host);
    CHECK(address.port == e.port);
  }
}
