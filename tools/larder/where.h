// `larder where`: which node each key lives on.
#pragma once

#include <string>
#include <vector>

#include "tools/client/ring.h"

namespace larder::operate {

// What is wrong with a key that no server would take, as the rest of a sentence behind it; empty if
// nothing is. Servers take 1 to 250 bytes, in the classic protocol without blanks and control
// characters.
//
// any_bytes  blanks and control characters are no fault
std::string fault_of_key(const std::string& key, bool any_bytes = false);

// One line a key: the key, a space, the node's address.
//
// encoded  the key is as key_text.h has it
std::string where_text(const client::Ring& ring, const std::vector<std::string>& keys,
                       bool encoded = false);

// {"ring": ..., "keys": [{"key", "node", "index"}]}, keys in the given order; index counts the
// servers of the list from 0. Bytes that are no UTF-8 become U+FFFD.
std::string where_json(const client::Ring& ring, const std::vector<std::string>& keys);

}  // namespace larder::operate
