#include "proto/admin_parser.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "proto/tokens.h"

namespace larder::proto {
namespace {

constexpr uint32_t kMaxSleepMicroseconds = 1'000'000;
constexpr uint32_t kMinWindow = 3;
constexpr uint32_t kMaxWindow = 1800;
constexpr uint32_t kMostPercent = 80;
constexpr size_t kMaxFractionBytes = 31;

// The words behind the verb; what follows the last one that any command looks at only counts.
class Words {
 public:
  explicit Words(std::string_view line) noexcept {
    while (!line.empty()) {
      const size_t end = std::min(line.find(' '), line.size());
      if (count_ < words_.size()) words_[count_] = line.substr(0, end);
      ++count_;
      line.remove_prefix(end);
      line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    }
  }
  size_t count() const noexcept { return count_; }
  std::string_view operator[](size_t i) const noexcept { return words_[i]; }
  // The word is there and begins this one.
  bool is(size_t i, std::string_view word) const noexcept {
    return i < count_ && word.starts_with(words_[i]);
  }

 private:
  std::array<std::string_view, 8> words_;
  size_t count_ = 0;
};

AdminRequest refused(AdminOp op, ErrorId error) noexcept {
  AdminRequest request;
  request.op = op;
  request.error = error;
  return request;
}

// As strtod reads it, all of the word: also hexadecimal, inf and nan.
bool read_fraction(std::string_view word, double& out) noexcept {
  if (word.empty() || word.size() > kMaxFractionBytes) return false;
  char text[kMaxFractionBytes + 1];
  std::memcpy(text, word.data(), word.size());
  text[word.size()] = '\0';
  char* end = nullptr;
  errno = 0;
  out = std::strtod(text, &end);
  return errno == 0 && end == text + word.size();
}

AdminRequest with_number(AdminOp op, std::string_view word) noexcept {
  AdminRequest request;
  request.op = op;
  if (!read_u32(word, request.number)) request.error = ErrorId::BadCommandLine;
  return request;
}

AdminRequest with_classes(AdminOp op, std::string_view word) noexcept {
  AdminRequest request;
  request.op = op;
  request.classes = word;
  return request;
}

AdminRequest parse_crawler(const Words& words) noexcept {
  if (words.count() == 2) {
    if (words.is(0, "crawl")) return with_classes(AdminOp::Crawl, words[1]);
    if (words.is(0, "metadump")) return with_classes(AdminOp::MetaDump, words[1]);
    if (words.is(0, "mgdump")) return with_classes(AdminOp::MgDump, words[1]);
    if (words.is(0, "tocrawl")) return with_number(AdminOp::CrawlerToCrawl, words[1]);
    if (words.is(0, "sleep")) {
      AdminRequest request = with_number(AdminOp::CrawlerSleep, words[1]);
      if (request.number > kMaxSleepMicroseconds) request.error = ErrorId::CrawlerSleepTooLong;
      return request;
    }
  } else if (words.count() == 1) {
    if (words.is(0, "enable")) return refused(AdminOp::CrawlerEnable, ErrorId::None);
    if (words.is(0, "disable")) return refused(AdminOp::CrawlerDisable, ErrorId::None);
  }
  return refused(AdminOp::None, ErrorId::UnknownCommand);
}

AdminRequest parse_automove(const Words& words) noexcept {
  AdminRequest request;
  if (words.is(1, "ratio") || words.is(1, "freeratio")) {
    request.op = words.is(1, "ratio") ? AdminOp::AutomoveRatio : AdminOp::AutomoveFreeRatio;
    if (words.count() < 3 || !read_fraction(words[2], request.fraction)) {
      request.error = ErrorId::UnknownCommand;
    }
    return request;
  }
  if (words.is(1, "window")) {
    request = with_number(AdminOp::AutomoveWindow, words.count() < 3 ? "?" : words[2]);
    if (request.error == ErrorId::None &&
        (request.number < kMinWindow || request.number > kMaxWindow)) {
      request.error = ErrorId::SlabsAutomoveWindow;
    }
    return request;
  }
  request = with_number(AdminOp::AutomoveLevel, words[1]);
  if (request.error == ErrorId::None && request.number > 2) request.error = ErrorId::UnknownCommand;
  return request;
}

AdminRequest parse_slabs(const Words& words) noexcept {
  if (words.count() == 3 && words.is(0, "reassign")) {
    AdminRequest request;
    request.op = AdminOp::SlabsReassign;
    if (!read_i32(words[1], request.source) || !read_i32(words[2], request.target)) {
      request.error = ErrorId::BadCommandLine;
    }
    return request;
  }
  if (words.count() >= 2 && words.is(0, "automove")) return parse_automove(words);
  return refused(AdminOp::None, ErrorId::UnknownCommand);
}

AdminRequest parse_tune(const Words& words) noexcept {
  AdminRequest request;
  request.op = AdminOp::LruTune;
  if (!read_u32(words[1], request.hot_percent) || !read_u32(words[2], request.warm_percent) ||
      !read_fraction(words[3], request.hot_factor) ||
      !read_fraction(words[4], request.warm_factor)) {
    request.error = ErrorId::UnknownCommand;
  } else if (uint64_t{request.hot_percent} + request.warm_percent > kMostPercent) {
    request.error = ErrorId::LruPercents;
  } else if (request.hot_factor <= 0 || request.warm_factor <= 0) {
    request.error = ErrorId::LruFactors;
  }
  return request;
}

AdminRequest parse_lru(const Words& words) noexcept {
  AdminRequest request;
  if (words.count() >= 5 && words.is(0, "tune")) return parse_tune(words);
  if (words.count() >= 2 && words.is(0, "mode")) {
    request.op = AdminOp::LruMode;
    request.segmented = !words.is(1, "flat");
    if (request.segmented && !words.is(1, "segmented")) request.error = ErrorId::UnknownCommand;
    return request;
  }
  if (words.count() >= 2 && words.is(0, "temp_ttl")) {
    request.op = AdminOp::LruTempTtl;
    if (!read_i32(words[1], request.seconds)) request.error = ErrorId::UnknownCommand;
    return request;
  }
  return refused(AdminOp::None, ErrorId::UnknownCommand);
}

}  // namespace

AdminRequest parse_admin(Op op, std::string_view args) noexcept {
  const Words words(args);
  if (op == Op::Crawler) return parse_crawler(words);
  return op == Op::Slabs ? parse_slabs(words) : parse_lru(words);
}

ClassList read_class_list(std::string_view words, uint32_t largest) noexcept {
  ClassList list;
  if (words == "all" || words == "hash") {
    list.kind = words == "all" ? ClassList::Kind::All : ClassList::Kind::Hash;
    return list;
  }
  while (!words.empty()) {
    const size_t end = std::min(words.find(','), words.size());
    std::string_view word = words.substr(0, end);
    words.remove_prefix(std::min(end + 1, words.size()));
    if (word.empty()) continue;  // as if the comma were not there
    if (word.front() == '+') word.remove_prefix(1);
    uint32_t number = 0;
    if (word.empty() || word.front() == '-' || !read_u32(word, number) || number < 1 ||
        number > std::min<uint32_t>(largest, 255)) {
      return {};
    }
    list.classes.set(number);
  }
  list.kind = ClassList::Kind::Some;
  return list;
}

}  // namespace larder::proto
