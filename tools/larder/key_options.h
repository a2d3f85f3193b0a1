// --encoded: keys on the command line as `larder keys` prints them (key_text.h).
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace larder::operate {

// which  the words that are read so, as the subject of the help: "KEY is"
void add_encoded_option(CLI::App& command, bool& encoded, const std::string& which);

// The keys that the words of `option` stand for, in their order. Throws CLI::ValidationError for a
// '%' that begins no code.
std::string decoded_key_of(const std::string& option, const std::string& word);
std::vector<std::string> decoded_keys(const std::string& option,
                                      const std::vector<std::string>& words);

}  // namespace larder::operate
