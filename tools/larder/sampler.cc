#include "tools/larder/sampler.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <system_error>
#include <utility>

#include "tools/larder/stats.h"

namespace larder::operate {
namespace {

using client::Result;

Sampled sample_node(Fleet& fleet, size_t node) {
  Sampled sampled;
  sampled.sample.node = fleet.name_of(node);
  const Result<Stats> stats = ask_stats(fleet, node, "");
  sampled.sample.when = std::chrono::steady_clock::now();
  if (!stats) {
    sampled.sample.error = stats.error().text;
    sampled.status = status_of(stats.error());
    return sampled;
  }
  sampled.sample.stats = *stats;
  // memcached has no such group, and neither has a larderd that is told not to sample.
  const Result<Stats> latency = ask_stats(fleet, node, "latency");
  if (latency) sampled.sample.latency = *latency;
  return sampled;
}

int make_event() {
  const int fd = eventfd(0, EFD_CLOEXEC);
  if (fd < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
  return fd;
}

}  // namespace

std::vector<Sampled> sample_all(Fleet& fleet) {
  std::vector<Sampled> samples(fleet.size());
  fleet.on_every_node([&](size_t node) { samples[node] = sample_node(fleet, node); });
  return samples;
}

Sampler::Sampler(Fleet& fleet) : fleet_(fleet), ready_fd_(make_event()) {}

Sampler::~Sampler() {
  if (thread_.joinable()) thread_.join();
  close(ready_fd_);
}

void Sampler::start() {
  thread_ = std::thread([this] {
    try {
      samples_ = sample_all(fleet_);
    } catch (...) {
      thrown_ = std::current_exception();
    }
    eventfd_write(ready_fd_, 1);
  });
}

std::vector<Sampled> Sampler::take() {
  thread_.join();
  eventfd_t count = 0;
  eventfd_read(ready_fd_, &count);
  if (thrown_) std::rethrow_exception(std::exchange(thrown_, nullptr));
  return std::move(samples_);
}

}  // namespace larder::operate
