// /stats.json: what a board for one server shows, in one object. Made for being asked for once a
// second: no lock of the cache is held longer than for adding up the counters of one shard.
//
// Its members and their units: docs/metrics.md.
#pragma once

#include <string>

#include "daemon/sampled_report.h"
#include "daemon/stats_report.h"

namespace larder::daemon {

// recent  latencies of the last ten seconds or so
std::string stats_json(const StatsSources& sources, const SampledFigures& sampled,
                       const LatencySnapshots& recent);

}  // namespace larder::daemon
