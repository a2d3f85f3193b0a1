// KeyFile: keys in a temporary file without a name, so that many of them take no memory. One
// thread.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "tools/client/transport.h"

namespace larder::operate {

class KeyFile {
 public:
  // In the folder that TMPDIR names, else in /tmp. Throws std::system_error if it cannot be
  // created.
  KeyFile();

  // keys  of at most 255 bytes. Throws std::system_error, for a full disk for example: which of
  //       them are in the file then is not known.
  void append(std::span<const std::string_view> keys);
  // Calls on_key for each key, in their order; false ends it. Throws std::system_error.
  void for_each(const std::function<bool(std::string_view key)>& on_key) const;

 private:
  client::Descriptor file_;
  std::string batch_;  // of append()
};

}  // namespace larder::operate
