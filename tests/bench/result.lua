-- wrk's result as one line of JSON, the last of its output. Without a function request() wrk sends a fixed text as ever.
function done(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format(
        '{"requests":%d,"seconds":%.6f,"p99_ms":%.3f,"refused":%d,"broken":%d,"timeouts":%d}\n',
        summary.requests, summary.duration / 1e6, latency:percentile(99) / 1e3,
        errors.status, errors.connect + errors.read + errors.write, errors.timeout))
end
