#pragma once

#include <prometheus/metric_family.h>

#include <cstddef>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "stats/call_meters.h"
#include "stats/metrics.h"

namespace mt {

/// A page of metrics while it is put together, in prometheus-cpp's model. Used by one thread; includes the library's
/// header, so only metrics*.cpp include this.
class MetricPage {
  public:
    using Labels = std::vector<prometheus::ClientMetric::Label>;

    /// A family of time series. It stays where it is as long as the page.
    class Family {
      public:
        Family(std::string name, std::string help, prometheus::MetricType type);
        void reserve(std::size_t count) { m_family.metric.reserve(count); }
        /// Adds a series to a family of counters or gauges.
        void add(double value, Labels labels = {});
        /// Adds a series to a family of histograms.
        void add(const HistogramSample& sample);
        /// Adds a series to a family of summaries, without quantiles.
        void add_summary(std::int64_t count, double sum, Labels labels);

      private:
        friend class MetricPage;
        prometheus::MetricFamily m_family;
    };

    Family& counter(std::string name, std::string help);
    Family& gauge(std::string name, std::string help);
    Family& histogram(std::string name, std::string help);
    Family& summary(std::string name, std::string help);

    /// Prometheus text format 0.0.4. Ends the page.
    [[nodiscard]] std::string text() &&;

  private:
    std::deque<Family> m_families;
};

/// The metrics of the process itself.
void add_process_metrics(MetricPage& page, const ProcessSample& process);

}  // namespace mt
