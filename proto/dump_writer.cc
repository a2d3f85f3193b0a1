#include "proto/dump_writer.h"

#include "proto/base64.h"
#include "proto/limits.h"
#include "proto/put.h"
#include "proto/uri.h"

namespace larder::proto {
namespace {

// Names, blanks and the numbers of a metadump line, without its key.
constexpr size_t kMetaDumpNames = 80;
constexpr size_t kMetaDumpLineBytes =
    kMetaDumpNames + 4 * (kDigits64 + 1) + 2 * kDigits32 + kUriBytesPerByte * kMaxKeyBytes;
constexpr size_t kMgDumpLineBytes = 3 + kMaxBase64KeyBytes + 4;

char* put_signed(char* p, int64_t number) noexcept {
  if (number < 0) p = put(p, '-');
  return put_number(p, number < 0 ? -static_cast<uint64_t>(number) : static_cast<uint64_t>(number));
}

void write_metadump(const DumpedItem& item, ReplyBuffer& out) {
  char* p = out.reserve(kMetaDumpLineBytes);
  p = put(p, "key=");
  p = put_uri(p, item.key);
  p = put(p, " exp=");
  p = put_signed(p, item.expiry);
  p = put(p, " la=");
  p = put_signed(p, item.last_access);
  p = put(p, " cas=");
  p = put_number(p, item.cas);
  p = item.fetched ? put(p, " fetch=yes cls=") : put(p, " fetch=no cls=");
  p = put_number(p, item.size_class);
  p = put(p, " size=");
  p = put_number(p, item.item_bytes);
  p = put(p, " flags=");
  p = put_number(p, item.client_flags);
  out.commit_to(put(p, " \n"));
}

void write_mgdump(const DumpedItem& item, ReplyBuffer& out) {
  char* p = out.reserve(kMgDumpLineBytes);
  p = put(p, "mg ");
  if (item.base64_key) {
    p = base64_encode(item.key, p);
    p = put(p, " b\r\n");
  } else {
    p = put_short(p, item.key);
    p = put(p, "\r\n");
  }
  out.commit_to(p);
}

}  // namespace

void write_dump_begin(ReplyBuffer& out) { out.copy("OK\r\n"); }

void write_dump_item(DumpForm form, const DumpedItem& item, ReplyBuffer& out) {
  form == DumpForm::MetaDump ? write_metadump(item, out) : write_mgdump(item, out);
}

void write_dump_end(DumpForm form, ReplyBuffer& out) {
  out.copy(form == DumpForm::MetaDump ? "END\r\n" : "EN\r\n");
}

}  // namespace larder::proto
