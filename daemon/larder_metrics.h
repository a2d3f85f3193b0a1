// Metrics that memcached_exporter has no name for: larder_*, with Prometheus's conventions.
#pragma once

#include "daemon/exposition.h"
#include "daemon/sampled_report.h"
#include "daemon/stats_report.h"

namespace larder::daemon {

void write_larder_metrics(const StatsSources& sources, const SampledFigures& sampled,
                          Exposition& page);

}  // namespace larder::daemon
