#include "tools/client/get_line.h"

#include <xxhash.h>

#include "proto/request_writer.h"

namespace larder::client {

bool GetLine::add(std::string_view key) {
  const size_t bytes = key.size() + 1;
  const size_t mark = XXH3_64bits(key.data(), key.size()) % kMarks;
  if (!keys_.empty() && (key_bytes_ + bytes > kMostKeyBytes || marks_[mark])) return false;
  keys_.push_back(key);
  key_bytes_ += bytes;
  marks_[mark] = true;
  return true;
}

void GetLine::write(proto::ReplyBuffer& out) {
  proto::write_gets(keys_, out);
  keys_.clear();
  key_bytes_ = 0;
  marks_.reset();
}

}  // namespace larder::client
