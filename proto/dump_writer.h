// The lines of `lru_crawler metadump` and `lru_crawler mgdump`. An answer is OK, one line an item,
// and END or EN (since memcached 1.6.43; before, there was no OK).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "proto/reply_buffer.h"

namespace larder::proto {

enum class DumpForm : uint8_t { MetaDump, MgDump };

struct DumpedItem {
  std::string_view key;
  bool base64_key = false;  // it was stored under a base64 key
  int64_t expiry = -1;      // unix time, -1 never
  int64_t last_access = 0;  // unix time
  uint64_t cas = 0;
  bool fetched = false;
  uint32_t size_class = 0;  // from 1
  uint64_t item_bytes = 0;
  uint32_t client_flags = 0;
};

void write_dump_begin(ReplyBuffer& out);
// metadump: key=<URI-encoded> exp= la= cas= fetch= cls= size= flags= and a blank, ended by a bare
// newline. mgdump: a line that asks for the item, as a meta get; only key and base64_key are read.
void write_dump_item(DumpForm form, const DumpedItem& item, ReplyBuffer& out);
void write_dump_end(DumpForm form, ReplyBuffer& out);

}  // namespace larder::proto
