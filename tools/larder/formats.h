// Configurations of other software, for the servers and the ring of `larder ring --format`.
//
// Only of software that was asked where keys live with the very text that is written here
// (tests/client/test_larder_ring.py). All have the ring itself, but haproxy, in front of servers
// over which clients shard.
#pragma once

#include <string>

#include "tools/client/ring.h"

namespace larder::operate {

struct FormatResult {
  std::string text;      // the configuration
  std::string error;     // a sentence, and then no text
  bool unknown = false;  // the error: there is no format of that name
};

// name  "twemproxy", "nginx", "haproxy" or "php"; others are refused, those that one might expect
// with the reason
[[nodiscard]] FormatResult configuration(const std::string& name, const client::Ring& ring);

}  // namespace larder::operate
