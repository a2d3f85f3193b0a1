// The metrics of memcached_exporter 0.16.0, by its names, labels and types, so that boards and
// alerts made for it work: as it would make them of our `stats`, `stats settings`, `stats items`
// and `stats slabs`. Of parts that we do not have (extstore, the proxy) every name is there, as 0.
#pragma once

#include "daemon/exposition.h"
#include "daemon/stats_report.h"

namespace larder::daemon {

void write_exporter_metrics(const StatsSources& sources, Exposition& page);

}  // namespace larder::daemon
