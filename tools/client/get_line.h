// GetLine: the keys that one line of the classic dialect asks for, "gets k1 k2 k3".
//
// A reply to it says what is there, in the order of the keys, and ends with one END: so a key that
// is not there costs no byte. One thread.
#pragma once

#include <bitset>
#include <string_view>
#include <vector>

#include "proto/reply_buffer.h"

namespace larder::client {

class GetLine {
 public:
  // False, and nothing is changed: the line is long enough, or may have this key already. Of the
  // same key twice a reply could not say which one was not there. The first key always fits. Views
  // have to live until write().
  bool add(std::string_view key);
  // Appends the line; then there are no keys.
  void write(proto::ReplyBuffer& out);

 private:
  // Of a line below the 2 KiB that memcached reads first.
  static constexpr size_t kMostKeyBytes = 1900;
  // A power of 2; so many that of lines of 50 keys some 15 % are cut.
  static constexpr size_t kMarks = 8192;

  std::vector<std::string_view> keys_;
  size_t key_bytes_ = 0;
  std::bitset<kMarks> marks_;  // by hash of key
};

}  // namespace larder::client
