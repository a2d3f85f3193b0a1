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
  // Calls on_key for each key from the place `begin` on, in their order; false ends it. Returns the
  // place behind the last one that on_key has got; 0 is the place of the first. Throws
  // std::system_error.
  uint64_t for_each(uint64_t begin, const std::function<bool(std::string_view key)>& on_key) const;

 private:
  client::Descriptor file_;
  std::string batch_;  // of append()
};

}  // namespace larder::operate
