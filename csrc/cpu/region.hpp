// Parallel loops that fail and stop as serial ones do.
//
// An exception that leaves a parallel region ends the process, and so would memory that runs out in
// one. So the steps of such loops are run by a `Region`, which keeps the first exception until the
// region is over. Before each step it asks whether the caller still wants the result, so that a
// call of minutes ends soon after Ctrl-C.
#pragma once

#include <atomic>
#include <chrono>
#include <exception>

namespace tefast {

// Whoever waits for a call. Made and asked in the thread that calls, and known there while it
// lives.
class Caller {
  public:
    Caller() : before_(current()) { current() = this; }
    virtual ~Caller() { current() = before_; }
    Caller(const Caller&) = delete;
    Caller& operator=(const Caller&) = delete;

    // The last of this thread, or null.
    static Caller*& current() {
        static thread_local Caller* last = nullptr;
        return last;
    }

    // Looks some times a second whether the call is to end.
    bool gives_up() {
        const auto now = std::chrono::steady_clock::now();
        if (now - asked_ < std::chrono::milliseconds(50)) return false;
        const bool wanted = gives_up_now();
        asked_ = std::chrono::steady_clock::now();
        return wanted;
    }

    // The same at any time.
    bool gives_up_now() { return wants_no_more(); }

  private:
    virtual bool wants_no_more() = 0;

    Caller* before_;
    std::chrono::steady_clock::time_point asked_ = std::chrono::steady_clock::now();
};

// What ends a call that its caller has given up.
struct Stopped : std::exception {
    const char* what() const noexcept override { return "the call was given up"; }
};

// Made before a parallel region, by the thread that opens it.
class Region {
  public:
    // One step, by any thread; left out where another one has failed or the caller has given up.
    template <class Step>
    void operator()(Step&& step) noexcept {
        if (over_.load(std::memory_order_relaxed)) return;
        try {
            if (caller_ && Caller::current() == caller_ && caller_->gives_up()) throw Stopped();
            step();
        } catch (...) {
            if (!kept_.test_and_set()) error_ = std::current_exception();
            over_.store(true);
        }
    }

    // After the region: throws what a step has thrown.
    void end() const {
        if (error_) std::rethrow_exception(error_);
    }

  private:
    Caller* const caller_ = Caller::current();
    std::atomic<bool> over_{false};
    std::atomic_flag kept_ = ATOMIC_FLAG_INIT;
    std::exception_ptr error_;
};

}  // namespace tefast
