#include "proto/text_writer.h"

#include "proto/error_lines.h"
#include "proto/limits.h"
#include "proto/put.h"
#include "proto/value_writer.h"

namespace larder::proto {
namespace {

constexpr std::string_view kCrlf = "\r\n";

// VALUE <key> <flags> <bytes> [<cas>]\r\n at its longest.
constexpr size_t kValueLineBytes =
    6 + kMaxKeyBytes + 1 + kDigits32 + 1 + kDigits32 + 1 + kDigits64 + 2;

// CONFIG <name> <flags> <bytes>\r\n at its longest.
constexpr size_t kConfigLineBytes = 7 + kMaxKeyBytes + 1 + kDigits32 + 1 + kDigits64 + 2;

void write_end(ReplyBuffer& out) { out.commit_to(put(out.reserve(5), "END\r\n")); }

void write_value(const Command& command, const Reply& reply, ReplyBuffer& out) {
  char* p = out.reserve(kValueLineBytes + value_room(reply, kCrlf));
  p = put(p, "VALUE ");
  p = put_short(p, command.key);
  p = put(p, ' ');
  p = put_number(p, reply.client_flags);
  p = put(p, ' ');
  p = put_number(p, value_bytes(reply));
  if (command.wants(Want::kCas)) {
    p = put(p, ' ');
    p = put_number(p, reply.cas);
  }
  p = put(p, "\r\n");
  finish_with_value(p, reply, kCrlf, out);
}

std::string_view stored_word(Status status) noexcept {
  switch (status) {
    case Status::NotStored:
      return "NOT_STORED";
    case Status::Exists:
      return "EXISTS";
    case Status::NotFound:
    case Status::Miss:
      return "NOT_FOUND";
    default:
      return "STORED";
  }
}

void write_stats(const Reply& reply, ReplyBuffer& out) {
  if (!reply.text.empty()) return write_line(reply.text, out);
  if (reply.stats != nullptr) {
    for (const auto& [name, value] : *reply.stats) {
      char* p = out.reserve(7 + name.size() + value.size() + 2);
      p = put(p, "STAT ");
      p = put_short(p, name);
      p = put(p, ' ');
      p = put_short(p, value);
      out.commit_to(put(p, "\r\n"));
    }
  }
  write_end(out);
}

// CONFIG <name> <flags> <bytes>\r\n<block>\r\nEND\r\n. Copied: the block belongs to nobody whom the
// rest of a reply could hold.
void write_config(const Command& command, const Reply& reply, ReplyBuffer& out) {
  char* p = out.reserve(kConfigLineBytes);
  p = put(p, "CONFIG ");
  p = put_short(p, command.key);
  p = put(p, ' ');
  p = put_number(p, reply.client_flags);
  p = put(p, ' ');
  p = put_number(p, reply.value.size());
  out.commit_to(put(p, "\r\n"));
  out.copy(reply.value);
  out.copy(kCrlf);
  write_end(out);
}

void write_error_reply(const Reply& reply, ReplyBuffer& out) {
  if (reply.error != ErrorId::ConfigBadBlock || reply.text.empty()) {
    return write_error_line(reply.error, out);
  }
  out.copy(error_line(reply.error).text);
  out.copy(": ");
  write_line(reply.text, out);
}

void write_number_line(uint64_t number, ReplyBuffer& out) {
  char* p = out.reserve(kDigits64 + 2);
  p = put_number(p, number);
  out.commit_to(put(p, "\r\n"));
}

void write_version(const Reply& reply, ReplyBuffer& out) {
  out.copy("VERSION ");
  write_line(reply.text, out);
}

}  // namespace

void write_line(std::string_view line, ReplyBuffer& out) {
  char* p = out.reserve(line.size() + 2);
  p = put_short(p, line);
  out.commit_to(put(p, "\r\n"));
}

void write_error_line(ErrorId error, ReplyBuffer& out) { write_line(error_line(error).text, out); }

void write_text(const Command& command, const Reply& reply, ReplyBuffer& out) {
  if (command.op == Op::Get) [[likely]] {
    if (reply.status == Status::Hit) {
      write_value(command, reply, out);
    } else if (reply.status == Status::Error) {
      return write_error_line(reply.error, out);  // and no END
    }
    if (command.wants(Want::kLastKey)) write_end(out);
    return;
  }
  if (command.op == Op::EndOfKeys) return write_end(out);
  // What is wrong with a certificate memcached says also to who wants no reply.
  if (command.quiet() && (command.op != Op::RefreshCerts || reply.text.empty())) return;
  if (command.op == Op::Error) {
    return write_error_line(reply.error != ErrorId::None ? reply.error : command.error, out);
  }
  if (reply.status == Status::None) return;
  if (reply.status == Status::Error) return write_error_reply(reply, out);

  const bool missed = reply.status == Status::Miss || reply.status == Status::NotFound;
  switch (command.op) {
    case Op::ConfigGet:
      return missed ? write_end(out) : write_config(command, reply, out);
    case Op::ConfigSet:
    case Op::Store:
      return write_line(stored_word(reply.status), out);
    case Op::ConfigDelete:
    case Op::Remove:
      return write_line(missed ? "NOT_FOUND" : "DELETED", out);
    case Op::Touch:
      return write_line(missed ? "NOT_FOUND" : "TOUCHED", out);
    case Op::Arith:
      if (missed) return write_line("NOT_FOUND", out);
      return write_number_line(reply.number, out);
    case Op::Stats:
      return write_stats(reply, out);
    case Op::Version:
      return write_version(reply, out);
    case Op::RefreshCerts:
      return write_line(reply.text.empty() ? "OK" : reply.text, out);
    case Op::Flush:
    case Op::Verbosity:
    case Op::MemoryLimit:
    case Op::Crawler:
    case Op::Slabs:
    case Op::Lru:
    case Op::DebugTime:
      return write_line("OK", out);
    case Op::Quit:
    case Op::Watch:     // whoever shows it what happens says OK first
    case Op::Shutdown:  // the connection closes, that is the answer
    case Op::Get:
    case Op::EndOfKeys:
    case Op::Error:
    case Op::Describe:  // meta and binary
    case Op::Noop:
      return;
  }
}

}  // namespace larder::proto
