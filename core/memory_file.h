// MemoryFile: a file that holds the cache's arena, so that a server that is stopped and started
// again finds its items where they were; and beside it FILE.meta, the snapshot of all that is
// known of them (core/snapshot.h).
//
// FILE is locked by the process that has it open. It belongs on a file system in memory (tmpfs, or
// DAX): elsewhere the kernel writes to the disk what the cache changes. It cannot be on hugetlbfs,
// which knows neither write() nor holes of 32 KiB.
//
// The process follows every reference that it finds in FILE. So it takes a file only if no other
// user can have written to it: an ordinary file of its own effective user, with one name, not a
// symbolic link, not writable by others; and it replaces no content but that of a memory file.
//
//   page 0 of FILE     FILE.meta
//   +--------------+   +----------------------------------------------------------+----------+
//   | magic 8      |   | magic 8, format 4, 0 4, payload bytes 8, generation 8,   | snapshot |
//   | format 4, 0 4|   | bytes of FILE 8, when FILE was changed last 8 + 8,       |          |
//   | generation 8 |   | XXH3 of all but this 8                                   |          |
//   +--------------+   +----------------------------------------------------------+----------+
//
// 1. While a server runs, FILE's generation is 0 and there is no FILE.meta: what is killed is found
//    so by the next.
// 2. finish() draws a generation and writes it to both, FILE first and safe on its medium.
// 3. A snapshot is taken for FILE's only if the generation, the size and the time of the last
//    change are what finish() saw. So neither of them is used with another run's.
//
// One thread, but set_aside(), release() and what is const: any. Outlives the cache that uses it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/atomic.h"

namespace larder::core {

class MemoryFile {
 public:
  // Opens or creates (mode 0600) and locks the file; nothing in it is changed. Throws
  // std::runtime_error with a sentence that names the file, also if the file is one that it does
  // not take (above).
  explicit MemoryFile(std::string path);
  ~MemoryFile();
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  const std::string& path() const noexcept { return path_; }
  std::string snapshot_path() const { return path_ + ".meta"; }

  struct Left {
    bool usable = false;
    std::string snapshot;
    std::string why_not;  // a clause for the operator: "FILE.meta is damaged"
  };
  // What the last run left. Changes nothing. Throws std::runtime_error if FILE.meta is empty: no
  // run leaves it so, and memcached does not start either; and if another user can have written it.
  Left read();

  // Bytes [begin, end) of the file.
  struct Range {
    size_t begin;
    size_t end;
  };
  // Maps a part of the file at `base` + range.begin, where the address space is reserved. Parts are
  // mapped in order, each from the end of the one before; 0 begins anew. While the file is in use
  // it grows with them. False, with errno, if that fails.
  bool map(char* base, Range range) noexcept;
  size_t mapped_bytes() const noexcept { return mapped_bytes_; }
  // Gives the file blocks for a range, so that stores to it cannot fail. False, with errno, if the
  // file system has none left. True, and promises nothing, where the file system cannot do that
  // (ramfs, NFS): promises_room() says so.
  bool set_aside(Range range) noexcept;
  bool promises_room() const noexcept { return promises_room_.load(std::memory_order_relaxed); }
  // The same before begin(): the file's time of change stays what it was.
  bool fill(Range range) noexcept;
  // Takes the blocks of a range away; it reads as zeros, in mappings, too. False, with errno.
  bool release(Range range) noexcept;
  // How long the file is, and how much of it has blocks.
  size_t length() const noexcept;
  size_t allocated_bytes() const noexcept;
  // True if the file system has room for a cache of so many bytes, or does not tell. A snapshot
  // that lies there counts as room.
  bool has_room_for(size_t bytes) const noexcept;
  // On a file system in memory.
  bool in_memory() const noexcept;

  // The mapping is about to be used: from now on the next start is a cold one, until finish().
  // What is in the file is dropped unless it is to be kept; the file is as long as what is mapped.
  // Throws std::runtime_error.
  void begin(bool keep);
  // The mapping is not used any more. False if that could not be written; errno says why.
  bool finish(std::string_view snapshot);

 private:
  uint64_t snapshot_bytes() const noexcept;  // that it takes of the file system; 0: there is none
  struct Superblock;
  struct Header;

  bool read_superblock(Superblock& block) const noexcept;  // false if it is not ours
  bool write_superblock(uint64_t generation) noexcept;
  void sync_folder() const noexcept;

  std::string path_;
  int file_ = -1;
  size_t mapped_bytes_ = 0;
  bool in_use_ = false;  // from begin() to finish()
  // Written by any thread that sets room aside; publishes nothing else.
  Atomic<bool> promises_room_{true};
};

}  // namespace larder::core
