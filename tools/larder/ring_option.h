// --servers and --ring: what their values name.
#pragma once

#include <string>
#include <vector>

#include "tools/client/ring.h"

namespace larder::operate {

// Throw CLI::ValidationError, which says what is wrong with the value of which option.
//
// option  what the servers were given by: "--servers"
// name    of a ring: "dalli"
client::Ring ring_of(const std::string& option, const std::string& name,
                     std::vector<client::RingNode> nodes);
client::Ring ring_of_list(const std::string& option, const std::string& name,
                          const std::string& servers);

}  // namespace larder::operate
