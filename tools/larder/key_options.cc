#include "tools/larder/key_options.h"

#include <CLI/CLI.hpp>
#include <optional>
#include <utility>

#include "tools/larder/key_text.h"

namespace larder::operate {

void add_encoded_option(CLI::App& command, bool& encoded, const std::string& which) {
  command.add_flag("--encoded", encoded,
                   which + " as larder keys prints keys, with %20 for a blank and %25 for %");
}

std::string decoded_key_of(const std::string& option, const std::string& word) {
  std::optional<std::string> key = decoded_key(word);
  if (key) return std::move(*key);
  throw CLI::ValidationError(
      option, "'" + word + "' has a % that two hexadecimal digits do not follow, for --encoded");
}

std::vector<std::string> decoded_keys(const std::string& option,
                                      const std::vector<std::string>& words) {
  std::vector<std::string> keys;
  for (const std::string& word : words) keys.push_back(decoded_key_of(option, word));
  return keys;
}

}  // namespace larder::operate
