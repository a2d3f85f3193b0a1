// Keys as words of text that can be read back: `larder keys` prints them, and --encoded makes other
// subcommands read them.
//
// Any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace larder::operate {

// The key with %-codes ("%20") for '%' itself, for blanks, quotes and backslashes, which shells and
// xargs would take away, for a '-' at the beginning, which would make it an option, and for the
// bytes that shown() codes. decoded_key() gives the same bytes again.
std::string encoded_key(std::string_view key);

// Null where a '%' does not begin a code: two hexadecimal digits of either case.
std::optional<std::string> decoded_key(std::string_view text);

}  // namespace larder::operate
