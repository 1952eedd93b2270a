#include "stats/metric_page.h"

#include <prometheus/text_serializer.h>

namespace mt {

using prometheus::ClientMetric;
using prometheus::MetricType;

MetricPage::Family::Family(std::string name, std::string help, MetricType type)
    : m_family{std::move(name), std::move(help), type, {}} {}

void MetricPage::Family::add(double value, Labels labels) {
    ClientMetric& metric = m_family.metric.emplace_back();
    metric.label = std::move(labels);
    (m_family.type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
}

void MetricPage::Family::add(const HistogramSample& sample) {
    ClientMetric::Histogram& histogram = m_family.metric.emplace_back().histogram;
    std::uint64_t below = 0;
    for (std::size_t i = 0; i < k_bucket_bounds_us.size(); ++i) {
        below += static_cast<std::uint64_t>(sample.buckets[i]);
        histogram.bucket.push_back({below, static_cast<double>(k_bucket_bounds_us[i]) / 1e6});
    }
    histogram.sample_count = below + static_cast<std::uint64_t>(sample.buckets.back());
    histogram.sample_sum = sample.sum_s;
}

void MetricPage::Family::add_summary(std::int64_t count, double sum, Labels labels) {
    ClientMetric& metric = m_family.metric.emplace_back();
    metric.label = std::move(labels);
    metric.summary.sample_count = static_cast<std::uint64_t>(count);
    metric.summary.sample_sum = sum;
}

MetricPage::Family& MetricPage::counter(std::string name, std::string help) {
    return m_families.emplace_back(std::move(name), std::move(help), MetricType::Counter);
}

MetricPage::Family& MetricPage::gauge(std::string name, std::string help) {
    return m_families.emplace_back(std::move(name), std::move(help), MetricType::Gauge);
}

MetricPage::Family& MetricPage::histogram(std::string name, std::string help) {
    return m_families.emplace_back(std::move(name), std::move(help), MetricType::Histogram);
}

MetricPage::Family& MetricPage::summary(std::string name, std::string help) {
    return m_families.emplace_back(std::move(name), std::move(help), MetricType::Summary);
}

std::string MetricPage::text() && {
    std::vector<prometheus::MetricFamily> families;
    for (Family& family : m_families) {
        if (!family.m_family.metric.empty()) {
            families.push_back(std::move(family.m_family));
        }
    }
    return prometheus::TextSerializer().Serialize(families);
}

}  // namespace mt
