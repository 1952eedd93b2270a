#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

namespace mt::http {

struct Connection;

/// Threads that answer the requests of connections, and the bounded queue before them. Owns neither. Thread-safe.
class WorkerPool {
  public:
    using Work = std::function<void(Connection&)>;

    /// `make_work` is called once on each thread: what a thread needs for itself lives in the Work it returns.
    WorkerPool(int threads, std::size_t max_queue, const std::function<Work()>& make_work);
    WorkerPool(const WorkerPool&) = delete;
    WorkerPool& operator=(const WorkerPool&) = delete;
    /// Works off the queue, then joins.
    ~WorkerPool();

    /// Queues as many from the front as there is room for and returns how many.
    std::size_t submit(std::span<Connection* const> connections);

    /// CPUs that this process may use (affinity), but at least 4.
    static int default_threads();

  private:
    void run(const std::function<Work()>& make_work);
    Connection* next();

    std::size_t m_max_queue;
    std::mutex m_mutex{};
    std::condition_variable m_wake{};
    std::deque<Connection*> m_queue{};
    bool m_stopping = false;
    std::vector<std::jthread> m_threads{};
};

}  // namespace mt::http
