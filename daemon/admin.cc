#include "daemon/admin.h"

#include <algorithm>

#include "daemon/server_control.h"
#include "daemon/tuning.h"

namespace larder::daemon {
namespace {

using proto::AdminOp;
using proto::AdminRequest;
using proto::ClassList;
using proto::ErrorId;
using proto::Reply;
using proto::Status;

constexpr auto kRelaxed = std::memory_order_relaxed;

// memcached's largest class: whoever names it may, though we have none of that number.
constexpr uint32_t kMemcachedLargestClass = 63;
constexpr int32_t kAnyClass = -1;    // as a source
constexpr int32_t kPoolOfPages = 0;  // memcached's number for what belongs to no class

void fail(Reply& reply, ErrorId error) {
  reply.status = Status::Error;
  reply.error = error;
}

}  // namespace

std::unique_ptr<Dump> Admin::run(const proto::Command& command, Dumps dumps, Reply& reply) {
  Tuning& tuning = control_.tuning();
  const AdminRequest request = proto::parse_admin(command.op, command.args);
  switch (request.op) {
    case AdminOp::None:
      fail(reply, request.error);
      break;
    case AdminOp::MetaDump:
    case AdminOp::MgDump:
      return begin_dump(request, dumps, tuning, reply);
    case AdminOp::Crawl:
      crawl(request, tuning, reply);
      break;
    case AdminOp::CrawlerEnable:
    case AdminOp::CrawlerDisable:
    case AdminOp::CrawlerSleep:
    case AdminOp::CrawlerToCrawl:
      run_crawler(request, tuning, reply);
      break;
    case AdminOp::SlabsReassign:
    case AdminOp::AutomoveLevel:
    case AdminOp::AutomoveWindow:
    case AdminOp::AutomoveRatio:
    case AdminOp::AutomoveFreeRatio:
      run_slabs(request, tuning, reply);
      break;
    case AdminOp::LruTune:
    case AdminOp::LruMode:
    case AdminOp::LruTempTtl:
      run_lru(request, tuning, reply);
      break;
  }
  return nullptr;
}

uint32_t Admin::largest_class() const {
  return std::max(cache_.class_count(), kMemcachedLargestClass);
}

void Admin::run_crawler(const AdminRequest& request, Tuning& tuning, Reply& reply) {
  if (request.error != ErrorId::None) return fail(reply, request.error);
  switch (request.op) {
    case AdminOp::CrawlerEnable:
      if (tuning.crawler.exchange(true, kRelaxed)) return fail(reply, ErrorId::CrawlerNotStarted);
      cache_.set_background_expiry(true);
      return;
    case AdminOp::CrawlerDisable:
      tuning.crawler.store(false, kRelaxed);
      cache_.set_background_expiry(false);
      return;
    case AdminOp::CrawlerSleep:
      tuning.crawler_sleep_us.store(request.number, kRelaxed);
      return;
    default:
      tuning.crawler_tocrawl.store(request.number, kRelaxed);
      return;
  }
}

// What has expired lies in blocks that upkeep knows to be due, whatever their class.
void Admin::crawl(const AdminRequest& request, Tuning& tuning, Reply& reply) {
  if (!tuning.crawler.load(kRelaxed)) return fail(reply, ErrorId::CrawlerDisabled);
  const ClassList classes = proto::read_class_list(request.classes, largest_class());
  if (classes.kind == ClassList::Kind::Bad) return fail(reply, ErrorId::CrawlerBadClass);
  if (classes.kind == ClassList::Kind::Hash) return fail(reply, ErrorId::CrawlerUnknownError);
  if (classes.kind == ClassList::Kind::Some && classes.classes.none()) {
    return fail(reply, ErrorId::CrawlerNothing);
  }
  tuning.crawler_starts.fetch_add(1, kRelaxed);
  control_.wake_workers();
}

std::unique_ptr<Dump> Admin::begin_dump(const AdminRequest& request, Dumps dumps, Tuning& tuning,
                                        Reply& reply) {
  const bool metadump = request.op == AdminOp::MetaDump;
  const auto refuse = [&](ErrorId error) {
    fail(reply, error);
    return nullptr;
  };
  if (!tuning.crawler.load(kRelaxed)) return refuse(ErrorId::CrawlerDisabled);
  if (!control_.settings().allow_dumps || dumps == Dumps::Impossible) {
    return refuse(metadump ? ErrorId::MetaDumpNotAllowed : ErrorId::MgDumpNotAllowed);
  }
  if (dumps == Dumps::Pipelined) {
    return refuse(metadump ? ErrorId::MetaDumpPipelined : ErrorId::MgDumpPipelined);
  }
  const ClassList classes = proto::read_class_list(request.classes, largest_class());
  if (classes.kind == ClassList::Kind::Bad) return refuse(ErrorId::CrawlerBadClass);
  if (classes.kind == ClassList::Kind::Some && classes.classes.none()) {
    return refuse(ErrorId::CrawlerNothing);
  }
  auto dump = Dump::begin(metadump ? proto::DumpForm::MetaDump : proto::DumpForm::MgDump, classes,
                          tuning.dumps_running);
  if (dump == nullptr) return refuse(ErrorId::CrawlerBusy);
  tuning.crawler_starts.fetch_add(1, kRelaxed);
  reply.status = Status::None;
  return dump;
}

void Admin::run_slabs(const AdminRequest& request, Tuning& tuning, Reply& reply) {
  if (request.op == AdminOp::SlabsReassign && !control_.settings().accepted.slab_reassign) {
    return fail(reply, ErrorId::SlabsReassignDisabled);
  }
  if (request.error != ErrorId::None) return fail(reply, request.error);
  switch (request.op) {
    case AdminOp::SlabsReassign:
      return reassign(request, reply);
    case AdminOp::AutomoveLevel:
      tuning.automove.store(request.number, kRelaxed);
      return;
    case AdminOp::AutomoveWindow:
      tuning.automove_window.store(request.number, kRelaxed);
      return;
    case AdminOp::AutomoveRatio:
      tuning.automove_ratio.store(request.fraction, kRelaxed);
      return;
    default:
      tuning.automove_freeratio.store(request.fraction, kRelaxed);
      return;
  }
}

// The page goes to whoever asks for one next: the target is checked and has no say.
void Admin::reassign(const AdminRequest& request, Reply& reply) {
  if (request.source == request.target) return fail(reply, ErrorId::SlabsSameClass);
  const auto classes = static_cast<int32_t>(cache_.class_count());
  int32_t source = request.source;
  if (source == kAnyClass) {
    uint64_t most_pages = 1;
    for (int32_t c = 1; c <= classes; ++c) {
      const uint64_t pages = cache_.class_totals(static_cast<uint32_t>(c) - 1).pages;
      if (c == request.target || pages <= most_pages) continue;
      most_pages = pages;
      source = c;
    }
  }
  const auto is_class = [&](int32_t c) { return c >= kPoolOfPages && c <= classes; };
  if (!is_class(source) || !is_class(request.target)) return fail(reply, ErrorId::SlabsBadClass);
  if (source == kPoolOfPages) return fail(reply, ErrorId::SlabsNoSpare);  // nobody's already
  switch (cache_.empty_page(static_cast<uint32_t>(source) - 1)) {
    case core::EmptyPageStatus::Started:
      return control_.wake_workers();
    case core::EmptyPageStatus::Busy:
      return fail(reply, ErrorId::SlabsBusy);
    case core::EmptyPageStatus::NoSpare:
      return fail(reply, ErrorId::SlabsNoSpare);
  }
}

void Admin::run_lru(const AdminRequest& request, Tuning& tuning, Reply& reply) {
  if (request.op != AdminOp::LruTune && !control_.settings().accepted.lru_maintainer) {
    return fail(reply, ErrorId::UnknownCommand);
  }
  if (request.error != ErrorId::None) return fail(reply, request.error);
  switch (request.op) {
    case AdminOp::LruTune:
      tuning.hot_percent.store(request.hot_percent, kRelaxed);
      tuning.warm_percent.store(request.warm_percent, kRelaxed);
      tuning.hot_factor.store(request.hot_factor, kRelaxed);
      tuning.warm_factor.store(request.warm_factor, kRelaxed);
      return;
    case AdminOp::LruMode:
      tuning.segmented.store(request.segmented, kRelaxed);
      return;
    default:
      tuning.temp_lru.store(request.seconds >= 0, kRelaxed);
      if (request.seconds >= 0) {
        tuning.temporary_ttl.store(static_cast<uint32_t>(request.seconds), kRelaxed);
      }
      return;
  }
}

}  // namespace larder::daemon
