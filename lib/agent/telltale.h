#pragma once

#include "agent/model.h"

namespace mt {

/// Passes everything on and remembers whether there was anything: from then on no other attempt may answer.
class TellTale final : public Sink {
  public:
    explicit TellTale(Sink& out) : m_out(out) {}
    bool on_event(const ModelEvent& event) override {
        m_told = true;
        return m_out.on_event(event);
    }
    [[nodiscard]] bool has_told() const { return m_told; }

  private:
    Sink& m_out;
    bool m_told = false;
};

}  // namespace mt
