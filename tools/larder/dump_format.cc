#include "tools/larder/dump_format.h"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <vector>

namespace larder::operate {
namespace {

constexpr std::string_view kFirstLine = "larder-dump 1";
constexpr size_t kMostLineBytes = 128;
constexpr uint64_t kMostKeyBytes = 250;                  // protocol.txt, "Keys"
constexpr uint64_t kMostValueBytes = uint64_t{1} << 30;  // memcached's largest item_size_max
constexpr size_t kPieceBytes = 1 << 20;

// The numbers behind the first word of a line; empty if one of them is none.
std::vector<uint64_t> numbers_of(std::string_view line) {
  std::vector<uint64_t> numbers;
  size_t blank = line.find(' ');
  while (blank != std::string_view::npos) {
    const size_t end = std::min(line.find(' ', blank + 1), line.size());
    uint64_t number = 0;
    const auto [stop, error] = std::from_chars(line.data() + blank + 1, line.data() + end, number);
    if (error != std::errc() || stop != line.data() + end) return {};
    numbers.push_back(number);
    blank = end == line.size() ? std::string_view::npos : end;
  }
  return numbers;
}

}  // namespace

DumpWriter::DumpWriter(std::FILE* file) : file_(file) {
  std::fprintf(file_, "%s\n", kFirstLine.data());
}

void DumpWriter::write(const DumpItem& item) {
  std::fprintf(file_, "item %zu %zu %u %lld\n", item.key.size(), item.value.size(),
               item.client_flags, static_cast<long long>(std::max<int64_t>(item.expires, 0)));
  std::fwrite(item.key.data(), 1, item.key.size(), file_);
  std::fwrite(item.value.data(), 1, item.value.size(), file_);
  std::fputc('\n', file_);
  ++items_;
}

void DumpWriter::end() {
  std::fprintf(file_, "end %llu\n", static_cast<unsigned long long>(items_));
}

std::optional<DumpItem> DumpReader::fail(const std::string& error) {
  error_ = error;
  ended_ = true;
  return std::nullopt;
}

bool DumpReader::read_line(std::string& line) {
  line.clear();
  for (int c = std::fgetc(file_); c != EOF; c = std::fgetc(file_)) {
    if (c == '\n') return true;
    if (line.size() == kMostLineBytes) return false;
    line += static_cast<char>(c);
  }
  return false;
}

// In pieces, so that a length that lies takes no memory.
bool DumpReader::read_bytes(std::string& bytes, uint64_t count) {
  while (bytes.size() < count) {
    const size_t before = bytes.size();
    bytes.resize(static_cast<size_t>(std::min<uint64_t>(count, before + kPieceBytes)));
    const size_t got = std::fread(bytes.data() + before, 1, bytes.size() - before, file_);
    if (before + got < bytes.size()) return false;
  }
  return true;
}

std::optional<DumpItem> DumpReader::next() {
  if (ended_) return std::nullopt;
  std::string line;
  if (!started_) {
    if (!read_line(line) || !line.starts_with("larder-dump ")) {
      return fail("is no file of larder dump");
    }
    if (line != kFirstLine) return fail("is of another version of larder dump");
    started_ = true;
  }
  const std::string where = " behind item " + std::to_string(items_);
  if (!read_line(line)) return fail("is cut short" + where);
  const std::vector<uint64_t> numbers = numbers_of(line);
  if (line.starts_with("end ") && numbers.size() == 1) {
    if (numbers[0] != items_) return fail("has not as many items as its last line says");
    if (std::fgetc(file_) != EOF) return fail("goes on behind its last line");
    ended_ = true;
    return std::nullopt;
  }
  if (!line.starts_with("item ") || numbers.size() != 4) return fail("has no item" + where);
  if (numbers[0] == 0 || numbers[0] > kMostKeyBytes || numbers[1] > kMostValueBytes ||
      numbers[2] > UINT32_MAX || numbers[3] > INT64_MAX) {
    return fail("has an item that no server would take" + where);
  }
  DumpItem item;
  item.client_flags = static_cast<uint32_t>(numbers[2]);
  item.expires = static_cast<int64_t>(numbers[3]);
  if (!read_bytes(item.key, numbers[0]) || !read_bytes(item.value, numbers[1])) {
    return fail("is cut short" + where);
  }
  if (std::fgetc(file_) != '\n') return fail("has an item of another length than it says" + where);
  ++items_;
  return item;
}

}  // namespace larder::operate
