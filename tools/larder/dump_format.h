// The file of `larder dump`, version 1: a line for the version, the items, a line with their
// number.
//
//   larder-dump 1\n
//   item KEYBYTES VALUEBYTES FLAGS EXPIRES\n     decimal; EXPIRES is a unix time, 0: never
//   KEY VALUE\n                                  so many bytes of each, any, with nothing between
//   ...
//   end ITEMS\n
//
// A file without its last line was cut short; nothing may follow it.
#pragma once

#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>

namespace larder::operate {

struct DumpItem {
  std::string key;
  std::string value;
  uint32_t client_flags = 0;
  int64_t expires = 0;
};

class DumpWriter {
 public:
  // file  stays the caller's; a failure to write is what ferror() says
  explicit DumpWriter(std::FILE* file);
  void write(const DumpItem& item);
  void end();
  uint64_t items() const noexcept { return items_; }

 private:
  std::FILE* file_;
  uint64_t items_ = 0;
};

// Reads item by item; memory is bounded by the largest of them.
class DumpReader {
 public:
  explicit DumpReader(std::FILE* file) : file_(file) {}

  // The next item; null at the end, and when error() says what is wrong with the file. Items that
  // came before are good.
  std::optional<DumpItem> next();
  const std::string& error() const noexcept { return error_; }  // a sentence without its subject

 private:
  std::FILE* file_;
  std::string error_;
  bool started_ = false;
  bool ended_ = false;
  uint64_t items_ = 0;

  std::optional<DumpItem> fail(const std::string& error);
  bool read_line(std::string& line);
  bool read_bytes(std::string& bytes, uint64_t count);
};

}  // namespace larder::operate
