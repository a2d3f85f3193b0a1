#include "core/memory_file.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>
#include <stdexcept>
#include <utility>

#include <xxhash.h>

namespace larder::core {
namespace {

constexpr char kFileMagic[8] = {'L', 'a', 'r', 'd', 'e', 'r', '-', 'A'};
constexpr char kSnapshotMagic[8] = {'L', 'a', 'r', 'd', 'e', 'r', '-', 'S'};
// Of superblock and header. What lies behind them has a number of its own (Cache).
constexpr uint32_t kFormat = 1;

constexpr mode_t kOwnerOnly = S_IRUSR | S_IWUSR;

std::string reason() { return std::strerror(errno); }

// A descriptor for as long as a function lasts.
class Descriptor {
 public:
  explicit Descriptor(int fd) noexcept : fd_(fd) {}
  ~Descriptor() { close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int fd() const noexcept { return fd_; }
  bool close() noexcept {
    const int fd = std::exchange(fd_, -1);
    return fd < 0 || ::close(fd) == 0;
  }

 private:
  int fd_;
};

bool write_all(int fd, const char* from, size_t bytes) noexcept {
  while (bytes > 0) {
    const ssize_t n = ::write(fd, from, bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    from += n;
    bytes -= static_cast<size_t>(n);
  }
  return true;
}

bool read_all(int fd, char* to, size_t bytes) noexcept {
  while (bytes > 0) {
    const ssize_t n = ::read(fd, to, bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    to += n;
    bytes -= static_cast<size_t>(n);
  }
  return true;
}

// Why the open file could hold what another user has put there, or is no file for us; or empty.
std::string why_not_trusted(int fd) {
  struct stat status {};
  if (fstat(fd, &status) != 0) return "cannot be examined: " + reason();
  if (!S_ISREG(status.st_mode)) return "is no ordinary file";
  if (status.st_uid != geteuid()) {
    return "belongs to another user (" + std::to_string(status.st_uid) +
           "), not to the server's (" + std::to_string(geteuid()) + ")";
  }
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) return "can be written by other users";
  if (status.st_nlink != 1) return "has another name (hard link)";
  return {};
}

constexpr char kSymbolicLink[] = "is a symbolic link";

uint64_t draw_generation() {
  std::random_device device;
  uint64_t generation = 0;
  while (generation == 0) generation = uint64_t{device()} << 32 | device();
  return generation;
}

}  // namespace

struct MemoryFile::Superblock {
  char magic[8];
  uint32_t format;
  uint32_t unused;
  uint64_t generation;  // 0: in use
};

struct MemoryFile::Header {
  char magic[8];
  uint32_t format;
  uint32_t unused;
  uint64_t payload_bytes;
  uint64_t generation;
  uint64_t file_bytes;
  int64_t changed_seconds;
  int64_t changed_nanoseconds;
  uint64_t checksum;  // of all before it, and of the payload

  uint64_t checksum_with(const char* payload) const noexcept {
    const uint64_t of_payload = XXH3_64bits(payload, payload_bytes);
    return XXH3_64bits_withSeed(this, offsetof(Header, checksum), of_payload);
  }
};

MemoryFile::MemoryFile(std::string path) : path_(std::move(path)) {
  const auto fail = [&](const std::string& what) {
    if (file_ >= 0) ::close(file_);
    throw std::runtime_error("memory file '" + path_ + "' " + what);
  };
  file_ = open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, kOwnerOnly);
  if (file_ < 0) fail(errno == ELOOP ? kSymbolicLink : "cannot be opened: " + reason());
  if (const std::string why = why_not_trusted(file_); !why.empty()) fail(why);
  struct statfs system {};
  if (fstatfs(file_, &system) == 0 && system.f_type == HUGETLBFS_MAGIC) {
    fail("is on hugetlbfs, where a memory file cannot be; use tmpfs, mounted with huge=advise");
  }
  if (flock(file_, LOCK_EX | LOCK_NB) != 0) {
    fail(errno == EWOULDBLOCK ? "is in use by another server" : "cannot be locked: " + reason());
  }
  struct stat status {};
  Superblock block{};
  if (fstat(file_, &status) != 0) fail("cannot be examined: " + reason());
  if (status.st_size != 0 && !read_superblock(block)) {
    fail("has content and is not a memory file of larderd: remove it, or name another");
  }
}

MemoryFile::~MemoryFile() { ::close(file_); }

MemoryFile::Left MemoryFile::read() {
  const auto cold = [](std::string why) { return Left{false, {}, std::move(why)}; };
  const std::string name = snapshot_path();
  struct stat file {};
  if (fstat(file_, &file) != 0) return cold("'" + path_ + "' cannot be examined: " + reason());
  Superblock block{};
  const bool has_block = read_superblock(block);

  const Descriptor snapshot(open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (snapshot.fd() < 0) {
    if (errno == ELOOP) throw std::runtime_error("'" + name + "' " + kSymbolicLink);
    if (errno != ENOENT) return cold("'" + name + "' cannot be opened: " + reason());
    if (file.st_size == 0) return cold("'" + path_ + "' is new");
    if (!has_block) return cold("'" + path_ + "' is not a memory file of larderd");
    return cold("the server that used '" + path_ +
                "' before was not stopped gracefully (there is no '" + name + "')");
  }
  if (const std::string why = why_not_trusted(snapshot.fd()); !why.empty()) {
    throw std::runtime_error("'" + name + "' " + why);
  }
  struct stat status {};
  if (fstat(snapshot.fd(), &status) != 0) {
    return cold("'" + name + "' cannot be examined: " + reason());
  }
  if (status.st_size == 0) {
    throw std::runtime_error("'" + name + "' is empty, which no server leaves: remove it");
  }
  Header header{};
  if (!read_all(snapshot.fd(), reinterpret_cast<char*>(&header), sizeof header) ||
      std::memcmp(header.magic, kSnapshotMagic, sizeof kSnapshotMagic) != 0) {
    return cold("'" + name + "' was not written by larderd");
  }
  if (header.format != kFormat) {
    return cold("'" + name + "' has format " + std::to_string(header.format) + ", not " +
                std::to_string(kFormat) + ": another version of larderd wrote it");
  }
  const std::string damaged = "'" + name + "' is damaged";
  if (header.payload_bytes != static_cast<uint64_t>(status.st_size) - sizeof header) {
    return cold(damaged);
  }
  Left left;
  left.snapshot.resize(header.payload_bytes);
  if (!read_all(snapshot.fd(), left.snapshot.data(), left.snapshot.size()) ||
      header.checksum != header.checksum_with(left.snapshot.data())) {
    return cold(damaged);
  }
  if (!has_block) return cold("'" + path_ + "' is not a memory file of larderd");
  if (header.file_bytes != static_cast<uint64_t>(file.st_size)) {
    return cold("'" + path_ + "' has " + std::to_string(file.st_size) + " bytes and had " +
                std::to_string(header.file_bytes));
  }
  if (block.format != kFormat || block.generation != header.generation) {
    return cold("'" + path_ + "' and '" + name + "' are not of the same run");
  }
  if (header.changed_seconds != file.st_mtim.tv_sec ||
      header.changed_nanoseconds != file.st_mtim.tv_nsec) {
    return cold("'" + path_ + "' was changed after its server had stopped");
  }
  left.usable = true;
  return left;
}

bool MemoryFile::map(char* base, Range range) noexcept {
  if (in_use_ && ftruncate(file_, static_cast<off_t>(range.end)) != 0) return false;
  if (mmap(base + range.begin, range.end - range.begin, PROT_READ | PROT_WRITE,
           MAP_SHARED | MAP_FIXED, file_, static_cast<off_t>(range.begin)) == MAP_FAILED) {
    return false;
  }
  mapped_bytes_ = range.end;
  return true;
}

bool MemoryFile::set_aside(Range range) noexcept {
  int result = 0;
  do {
    result = fallocate(file_, FALLOC_FL_KEEP_SIZE, static_cast<off_t>(range.begin),
                       static_cast<off_t>(range.end - range.begin));
  } while (result != 0 && errno == EINTR);
  if (result == 0) return true;
  if (errno != EOPNOTSUPP && errno != ENOSYS) return false;
  promises_room_.store(false, std::memory_order_relaxed);
  return true;
}

bool MemoryFile::fill(Range range) noexcept {
  struct stat before {};
  if (fstat(file_, &before) != 0 || !set_aside(range)) return false;
  const timespec times[2] = {before.st_atim, before.st_mtim};
  return futimens(file_, times) == 0;
}

bool MemoryFile::release(Range range) noexcept {
  return fallocate(file_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                   static_cast<off_t>(range.begin),
                   static_cast<off_t>(range.end - range.begin)) == 0;
}

size_t MemoryFile::length() const noexcept {
  struct stat file {};
  return fstat(file_, &file) == 0 ? static_cast<size_t>(file.st_size) : 0;
}

size_t MemoryFile::allocated_bytes() const noexcept {
  struct stat file {};
  if (fstat(file_, &file) != 0) return 0;
  return static_cast<size_t>(file.st_blocks) * 512;
}

uint64_t MemoryFile::snapshot_bytes() const noexcept {
  try {
    struct stat snapshot {};
    if (stat(snapshot_path().c_str(), &snapshot) == 0) {
      return static_cast<uint64_t>(snapshot.st_blocks) * 512;
    }
  } catch (const std::bad_alloc&) {
    // Then it is in the way.
  }
  return 0;
}

bool MemoryFile::has_room_for(size_t bytes) const noexcept {
  struct statvfs system {};
  struct stat file {};
  if (fstatvfs(file_, &system) != 0 || fstat(file_, &file) != 0 || system.f_blocks == 0)
    return true;
  const uint64_t has = static_cast<uint64_t>(file.st_blocks) * 512;
  const uint64_t free = uint64_t{system.f_bavail} * system.f_frsize;
  // The snapshot goes when the server begins to run.
  return has + free + snapshot_bytes() >= bytes;
}

bool MemoryFile::in_memory() const noexcept {
  struct statfs system {};
  return fstatfs(file_, &system) == 0 &&
         (system.f_type == TMPFS_MAGIC || system.f_type == RAMFS_MAGIC);
}

bool MemoryFile::read_superblock(Superblock& block) const noexcept {
  return pread(file_, &block, sizeof block, 0) == static_cast<ssize_t>(sizeof block) &&
         std::memcmp(block.magic, kFileMagic, sizeof kFileMagic) == 0;
}

bool MemoryFile::write_superblock(uint64_t generation) noexcept {
  Superblock block{};
  std::memcpy(block.magic, kFileMagic, sizeof kFileMagic);
  block.format = kFormat;
  block.generation = generation;
  return pwrite(file_, &block, sizeof block, 0) == static_cast<ssize_t>(sizeof block);
}

void MemoryFile::sync_folder() const noexcept {
  const size_t slash = path_.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path_.substr(0, slash + 1);
  const Descriptor descriptor(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (descriptor.fd() >= 0) fsync(descriptor.fd());  // in memory nothing to do
}

void MemoryFile::begin(bool keep) {
  const auto bytes = static_cast<off_t>(mapped_bytes_);
  // The superblock before the length: who is killed between the two leaves a file that is known.
  if ((!keep && ftruncate(file_, 0) != 0) || !write_superblock(0) || ftruncate(file_, bytes) != 0 ||
      fchmod(file_, kOwnerOnly) != 0) {
    throw std::runtime_error("memory file '" + path_ + "' cannot be made " +
                             std::to_string(mapped_bytes_) + " bytes long: " + reason());
  }
  in_use_ = true;
  if (unlink(snapshot_path().c_str()) != 0 && errno != ENOENT) {
    throw std::runtime_error("'" + snapshot_path() + "' cannot be removed: " + reason());
  }
  set_aside({0, sizeof(Superblock)});  // whether it can
  // Should the machine fail on a file system that outlives it, neither may come back.
  fsync(file_);
  sync_folder();
}

bool MemoryFile::finish(std::string_view snapshot) {
  in_use_ = false;
  const uint64_t generation = draw_generation();
  if (!write_superblock(generation) || fsync(file_) != 0) return false;
  struct stat file {};
  if (fstat(file_, &file) != 0) return false;
  Header header{};
  std::memcpy(header.magic, kSnapshotMagic, sizeof kSnapshotMagic);
  header.format = kFormat;
  header.payload_bytes = snapshot.size();
  header.generation = generation;
  header.file_bytes = static_cast<uint64_t>(file.st_size);
  header.changed_seconds = file.st_mtim.tv_sec;
  header.changed_nanoseconds = file.st_mtim.tv_nsec;
  header.checksum = header.checksum_with(snapshot.data());

  // Under another name first: FILE.meta is whole or not there.
  // Nobody may have put a file or a link of that name there.
  const std::string draft = snapshot_path() + ".tmp";
  unlink(draft.c_str());
  Descriptor to(
      open(draft.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, kOwnerOnly));
  const bool written =
      to.fd() >= 0 && write_all(to.fd(), reinterpret_cast<const char*>(&header), sizeof header) &&
      write_all(to.fd(), snapshot.data(), snapshot.size()) && fsync(to.fd()) == 0 && to.close() &&
      rename(draft.c_str(), snapshot_path().c_str()) == 0;
  if (!written) {
    const int why = errno;
    unlink(draft.c_str());
    errno = why;
    return false;
  }
  sync_folder();
  return true;
}

}  // namespace larder::core
